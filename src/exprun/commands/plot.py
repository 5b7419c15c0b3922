"""``exprun plot``: curves and pictures of runs and sweeps, for a slide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from exprun.commands import Parser
from exprun.common.constants import DIVERGED
from exprun.common.errors import UsageError
from exprun.record.result import read_result
from exprun.run_folder import initial_training, stored
from exprun.sweeps.read_results import read_results, read_run

if TYPE_CHECKING:
    from exprun.training.prediction import Model
    from exprun.training.training import Training


def main(words: list[str]) -> int:
    parser = Parser("plot", "Curves and pictures of runs and sweeps, as PNG and SVG.")
    parser.add_argument("folders", type=Path, nargs="+", metavar="RUN|SWEEP")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="default: the folder of the run or sweep"
    )
    parser.add_argument("--title", metavar="TEXT", help="default: the overrides")
    parser.add_argument(
        "--animate",
        action="store_true",
        help="train a run with two inputs again, and draw its boundary after each epoch",
    )
    parser.add_argument(
        "--batches",
        action="store_true",
        help="draw the noise of a run's gradients, its dropout masks and moments of batch norm",
    )
    parser.add_argument(
        "--trust", action="store_true", help="let its config name code of somebody's own"
    )
    arguments = parser.parse_args(words)
    folders, output = arguments.folders, arguments.output
    if output and len(folders) > 1:
        raise UsageError(f"-o {output}: expected one RUN or SWEEP with it, for names would collide")
    if output and output.exists() and not output.is_dir():
        raise UsageError(f"-o {output}: is a file; expected a folder")
    for folder in folders:
        sweep = (folder / "sweep.json").is_file()
        for option in ("animate", "batches"):
            if sweep and getattr(arguments, option):
                raise UsageError(f"--{option}: {folder} is a sweep; expected one of its runs")
        target = output or folder
        if sweep:
            names = plot_sweep(folder, target, arguments.title)
        else:
            names = plot_run(
                folder,
                target,
                arguments.title,
                animate=arguments.animate,
                batches=arguments.batches,
                trust=arguments.trust,
            )
        for name in names:
            print(target / name)
    return 0


def plot_sweep(folder: Path, output: Path, title: str | None = None) -> list[str]:
    """Draw mean learning curves, and the weights over a regularisation strength if the sweep varies
    one; returns the files' names. Raises UsageError if no job has a learning curve."""
    from exprun.plots import learning_curves, weights

    results = read_results([folder])
    if not any(job.ended_well and job.curve().get("epoch") for job in results.jobs):
        raise UsageError(f"{folder}: no job of it has a learning curve")
    title = title or " ".join(results.shared)
    output.mkdir(parents=True, exist_ok=True)
    names = learning_curves.draw_sweep(results, title, output)
    if key := weights.strength(results):
        names += weights.draw(results, key, title, output)
    return names


def plot_run(
    folder: Path,
    output: Path,
    title: str | None = None,
    *,
    animate: bool = False,
    batches: bool = False,
    trust: bool = False,
) -> list[str]:
    """Draw a run's learning curves, its layers if they were measured, its boundary if it has two
    inputs and, with ``batches``, what depends on the rows of a batch; returns the files' names.
    Raises UsageError if there is nothing to draw."""
    from exprun.plots import boundary, layers, learning_curves
    from exprun.plots.histograms import read_histograms
    from exprun.record.model import PREPROCESSING, WEIGHTS, as_file, load_model

    run, result = stored(folder), read_result(folder)
    if result is None:
        raise UsageError(f"{folder}: has no result yet; expected the folder of a run that ended")
    job = read_run(folder).jobs[0]
    if not job.curve().get("epoch"):
        what = "has no learning curve"
        if pictures := result.get("pictures"):
            what = f"has its pictures: {', '.join(pictures)}"
        elif result["status"] == DIVERGED:
            what = f"diverged, {result['reason']}, and has no epoch to be drawn"
        raise UsageError(f"{folder}: {what}")
    title = title or " ".join(result["overrides"])
    model = load_model(folder) if (folder / WEIGHTS).is_file() else None
    reason = boundary.obstacle(model.preprocessing) if model else "it has no model"
    if animate and reason:
        raise UsageError(f"--animate: {folder}: {reason}")
    if batches and not model:
        raise UsageError(f"--batches: {folder}: it has no model")
    training = initial_training(run, folder, trust=trust) if batches or not reason else None
    if (
        training
        and as_file(training.data.preprocessing).content != (folder / PREPROCESSING).read_bytes()
    ):
        raise UsageError(f"{folder}: the data are not those that it was trained on")
    output.mkdir(parents=True, exist_ok=True)
    names = learning_curves.draw_run(job, result.get("best_epoch"), title, output)
    measured = layers.read(folder / "diagnostics.csv")
    initial = layers.read(folder / "initialization.csv")
    if measured:
        names += layers.draw(measured, initial, title, output)
    if histograms := read_histograms(folder):
        normalised = _normalises_first(run.config)
        names += layers.draw_histograms(histograms, initial, title, output, normalised=normalised)
    if model and training:
        if batches:
            names += plot_batches(training, model, title, output)
        if not reason:
            names += boundary.draw(model, training.data, title, output)
        if animate:
            names += boundary.animate(training, result["epochs"], title, output)
    return names


def plot_batches(training: Training, model: Model, title: str, output: Path) -> list[str]:
    """Draw what depends on the rows of a batch: the noise of the gradient before the training and
    with the model's weights, and the model's dropout masks and moments of batch normalisation, if
    it has those; returns the files' names. The training is in its initial state, and left so."""
    from exprun.plots import batch_norm, dropout, gradient_noise

    initial = training.snapshot()
    noise = {"before the training": gradient_noise.measure(training)}
    training.model.load_state_dict(model.network.state_dict())
    noise["with the weights of the model"] = gradient_noise.measure(training)
    names = gradient_noise.draw(noise, training.batch_size, title, output)
    names += dropout.draw(training, title, output)
    names += batch_norm.draw(training, title, output)
    training.load_state_dict(initial)
    training.set_mode(True)
    return names


def _normalises_first(config: DictConfig) -> bool:
    """Whether a normalisation precedes the activation, so that pre-activations are normalised."""
    norm = config.norm
    return norm.get("_target_") is not None and norm.get("position", "pre") == "pre"
