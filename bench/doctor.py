"""How often the doctor is right: ``python -m bench.doctor`` (``--development``, ``--show``).

The runs of ``bench.doctor_cases``: healthy ones, ill ones, and ones whose targets have nothing to
do with the inputs. Each is trained and examined as ``exprun doctor`` does it. For an ill one, and
for a healthy one that gets a diagnosis, the first suggestions are then tried with the rule of
``--try``: seeds of their own, the run as it was and each suggestion in pairs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from bench.doctor_cases import DEVELOPMENT, HEALTHY, HELD_OUT, ILL, NOTHING, TABLES, write_table
from bench.side_by_side import machine, table
from exprun.build import target_of
from exprun.commands.doctor import choose
from exprun.common.threads import cores
from exprun.config.compose import compose_run
from exprun.config.hydra_files import hydra_files, write_hydra_files
from exprun.config.schema import plain
from exprun.doctor.diagnose import diagnose
from exprun.doctor.rebuild import examine
from exprun.doctor.trial import Trial, changed, verdicts
from exprun.fit.stack import Member, fit_stack
from exprun.run import run as run_job
from exprun.run_folder import Stored, stored, stored_job
from exprun.training import metrics
from exprun.training.callbacks import Outcome
from exprun.training.prediction import forward
from exprun.training.training import Training

SEEDS = 6
"""Pairs of a trial."""

SEED = 11
"""Of the runs that are diagnosed; the trials have 0 to 4."""


@dataclass(frozen=True)
class Answer:
    """What the doctor said of a run, and the suggestions that a trial confirmed or refuted."""

    kind: str
    words: str
    rules: tuple[str, ...]
    trials: tuple[str, ...]

    @property
    def confirmed(self) -> bool:
        return any(line.endswith("helped") for line in self.trials)


def answer(kind: str, words: str) -> Answer:
    """Train the run in a folder of its own, examine it, and try what is suggested."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place, chdir(place):
        for name in TABLES:
            if f"data.path={name}.csv" in words:
                write_table(Path(f"{name}.csv"))
        run = _composed("run", [*words.split(), f"seed={SEED}", "device=cpu", "trainer.threads=1"])
        run_job(stored_job(Path("run"), trust=False, in_sweep=True))
        findings, _ = examine(Path("run"), run)
        found = diagnose(findings)
        made = _try(run, found) if kind != NOTHING else []
    said = tuple(f"{t.suggestion}: {t.verdict.conclusion}" for t in made)
    return Answer(kind, words, tuple(found), said)


def _composed(name: str, words: list[str]) -> Stored:
    config = compose_run(words, None)
    write_hydra_files(Path(name), hydra_files(config, plain(config)))
    return stored(Path(name))


def _try(run: Stored, found: dict[str, Any]) -> list[Trial]:
    """What ``exprun doctor RUN --try`` finds of the first suggestions; trained in this process."""
    chosen = choose([s for diagnosis in found.values() for s in diagnosis.suggestions], 0)
    if not chosen:
        return []
    runs = [run]
    for number, suggestion in enumerate(chosen):
        runs.append(_composed(str(number), changed(run.overrides, suggestion.overrides)))
    results = [result for each in runs for result in trained(each)]
    return verdicts(run, chosen, SEEDS, results) or []


def trained(run: Stored) -> list[dict[str, Any]]:
    """Status and validation figures of the run's training with seeds 0 to SEEDS - 1."""
    config = plain(run.config)
    build = target_of("problem", config["problem"])
    trainings: list[Training] = [build(config | {"seed": seed}) for seed in range(SEEDS)]
    results: list[dict[str, Any]] = [{} for _ in trainings]

    def member(number: int, training: Training) -> Member:
        def done(outcome: Outcome) -> None:
            results[number] = {
                "status": outcome.status,
                "metrics": figures(training),
                "monitor": training.stopping.monitor,
                "overrides": run.overrides,
            }

        def failed(error: Exception) -> None:
            raise error

        return Member(training, [], done, failed)

    fit_stack(iter([member(*pair) for pair in enumerate(trainings)]), SEEDS)
    return results


def figures(training: Training) -> dict[str, float]:
    """Of the kept weights, as in ``result.json``."""
    if not training.kept:
        return {}
    training.model.load_state_dict(training.kept)
    val = training.data.val
    outputs = forward(training.model, val.x)
    full = metrics.full(
        outputs, val.y, training.data.preprocessing, training.loss.output_activation
    )
    return training.kept_row | {f"val_{name}": value for name, value in full.items()}


def ask(asked: Sequence[tuple[str, str]], *, show: bool) -> list[Answer]:
    """The answers, from processes of their own."""
    with ProcessPoolExecutor(cores(), get_context("spawn")) as pool:
        answers = []
        for number, said in enumerate(pool.map(answer, *zip(*asked, strict=True)), 1):
            answers.append(said)
            if show:
                print(f"{number}/{len(asked)} {said.kind}: {said.words}")
                print(f"    {', '.join(said.rules) or '-'}", *said.trials, sep="\n    ", flush=True)
        return answers


def counted(answers: Sequence[Answer]) -> str:
    """The table of docs/doctor.md."""
    rows = []
    for kind in (HEALTHY, ILL, NOTHING):
        mine = [a for a in answers if a.kind == kind]
        told = sum(bool(a.rules) for a in mine)
        confirmed = sum(a.confirmed for a in mine)
        cells = (kind, len(mine), told, "" if kind == NOTHING else confirmed)
        rows.append([str(cell) for cell in cells])
    return table(["runs", "number", "a diagnosis", "a cure that the trial confirms"], rows)


def exceptions(answers: Sequence[Answer]) -> str:
    """The healthy runs that got a diagnosis, and the others that got none, or no cure."""
    lines = []
    for a in answers:
        wrong = (
            a.rules if a.kind == HEALTHY else not (a.confirmed or (a.kind == NOTHING and a.rules))
        )
        if wrong:
            lines.append(f"- {a.kind}: `{a.words}`: {', '.join(a.rules) or 'nothing'}")
            lines += [f"  - {trial}" for trial in a.trials]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--development", action="store_true", help="the runs that were looked at")
    parser.add_argument("--show", action="store_true", help="what was said of each run")
    parser.add_argument("--only", choices=[HEALTHY, ILL, NOTHING], help="one kind")
    arguments = parser.parse_args()
    runs = DEVELOPMENT if arguments.development else HELD_OUT
    asked = [
        (kind, words)
        for kind, many in runs.items()
        for words in many
        if arguments.only in (None, kind)
    ]
    began = time.perf_counter()
    answers = ask(asked, show=arguments.show)
    minutes = (time.perf_counter() - began) / 60
    print(f"{machine()}, torch {torch.__version__}; {minutes:.0f} min\n\n{counted(answers)}\n")
    print(exceptions(answers))


if __name__ == "__main__":
    main()
