"""How often the doctor is right: ``python -m bench.doctor`` (``--seeds N``, ``--show`` each run).

Runs are built to have each disease, and others to be healthy, several seeds of each; every one is
diagnosed twice: from its files alone, as at the end of each run, and by ``exprun doctor``, which
measures data and layers afresh. Two kinds of error are counted: a disease that is not found, and a
healthy run that gets any diagnosis.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch

from bench.side_by_side import machine, table
from exprun.common.threads import cores
from exprun.config.compose import compose_run, hydra_files, write_hydra_files
from exprun.config.schema import plain
from exprun.doctor.diagnose import diagnose
from exprun.doctor.findings import read
from exprun.doctor.rebuild import examine
from exprun.run import run as run_job
from exprun.run_folder import stored, stored_job

DISEASED: Mapping[str, Sequence[str]] = {
    "diverged": (
        "data=diabetes optimizer=sgd optimizer.lr=5",
        "data=iris loss=mse optimizer=sgd optimizer.lr=20",
    ),
    "learning_rate_too_high": (
        "data=iris optimizer=adam optimizer.lr=0.3 norm=batch trainer.max_epochs=30",
        "data=wine optimizer=rmsprop optimizer.lr=0.3 trainer.max_epochs=30",
        "data=moons optimizer=adam optimizer.lr=1 trainer.max_epochs=20",
        "data=digits optimizer=sgd optimizer.lr=1 trainer.max_epochs=15",
    ),
    "learning_rate_too_low": (
        "data=digits optimizer=sgd optimizer.lr=0.0001 trainer.max_epochs=15",
        "data=wine optimizer=adam optimizer.lr=1e-6 trainer.max_epochs=30",
        "data=diabetes optimizer=adam optimizer.lr=3e-6 trainer.max_epochs=30",
        "data=moons optimizer=sgd optimizer.lr=3e-5 trainer.max_epochs=20",
    ),
    "noisy_gradient": (
        "data=digits model.hidden=[32] batching=stochastic optimizer=sgd optimizer.lr=0.1 "
        "trainer.max_epochs=5",
        "data=wine batching=stochastic optimizer=adam optimizer.lr=0.03 trainer.max_epochs=15",
        "data=moons batching.batch_size=2 optimizer=adam optimizer.lr=0.1 trainer.max_epochs=15",
    ),
    "too_few_epochs": (
        "data=wine optimizer=sgd optimizer.lr=0.003 trainer.max_epochs=12",
        "data=breast_cancer optimizer=sgd optimizer.lr=0.005 trainer.max_epochs=8",
        "data=spirals trainer.max_epochs=8",
    ),
    "under_fitting": (
        "data=digits model.hidden=[1] optimizer.lr=0.01 trainer.max_epochs=40",
        "data=spirals model.hidden=[2] optimizer.lr=0.01 trainer.max_epochs=40",
        "data=circles model.hidden=[] optimizer.lr=0.01",
        "data=spirals model.activation=identity",
    ),
    "over_regularized": (
        "data=digits reg=l1 reg.l1.strength=0.05",
        "data=wine reg=l2 reg.l2.strength=300",
        "data=digits reg=weight_decay reg.weight_decay.strength=1",
    ),
    "over_fitting": (
        "data=diabetes stopping=none trainer.max_epochs=100",
        "data=moons data.rows=60 data.noise=0.4 stopping=none trainer.max_epochs=300",
        "data=circles data.rows=100 data.noise=0.3 stopping=none optimizer.lr=0.01 "
        "trainer.max_epochs=150",
        "data=digits data.val_fraction=0.9 data.test_fraction=0.05",
        "data=iris optimizer.lr=0.01 stopping=none trainer.max_epochs=200",
    ),
    "stopped_too_early": (
        "data=diabetes optimizer=sgd stopping.patience=1",
        "data=iris optimizer=sgd stopping.patience=1",
        "data=digits optimizer=sgd optimizer.lr=0.01 stopping.min_delta=0.1 stopping.patience=5",
        "data=wine optimizer=sgd optimizer.lr=0.002 stopping.min_delta=0.03 stopping.patience=3",
    ),
    "symmetric_weights": (
        "data=digits init=zeros trainer.max_epochs=15",
        "data=digits init=constant trainer.max_epochs=15",
        "data=wine init=zeros model.activation=tanh",
        "data=diabetes init=zeros",
    ),
    "vanishing_gradient": (
        "data=digits model.hidden=[32,32,32,32,32,32] model.activation=sigmoid init=xavier "
        "optimizer=sgd trainer.max_epochs=10",
        "data=wine model.hidden=[32,32,32,32,32,32,32,32] model.activation=sigmoid init=lecun "
        "trainer.max_epochs=15",
        "data=moons model.hidden=[16,16,16,16,16] init=normal init.std=0.01 optimizer=sgd "
        "trainer.max_epochs=15",
    ),
    "exploding_gradient": (
        "data=digits model.hidden=[64,64,64,64,64,64] init=normal init.std=1 optimizer=sgd "
        "optimizer.lr=1e-9 trainer.max_epochs=5",
        "data=wine model.hidden=[64,64,64,64,64,64] init=normal init.std=1 trainer.max_epochs=3",
    ),
    "dead_units": (
        "data=digits optimizer=adam optimizer.lr=0.5 trainer.max_epochs=15",
        "data=digits optimizer=adam optimizer.lr=0.2 model.hidden=[32,32,32] trainer.max_epochs=15",
        "data=wine optimizer=sgd optimizer.lr=3 model.hidden=[32,32] trainer.max_epochs=30",
    ),
    "saturated_units": (
        "data=digits model.activation=tanh init=normal init.std=3 optimizer.lr=1e-5 "
        "trainer.max_epochs=8",
        "data=digits model.activation=sigmoid init=uniform init.low=-5 init.high=5 optimizer=sgd "
        "trainer.max_epochs=8",
    ),
    "chance_level": (
        "data=csv data.path=shuffled.csv data.target=label model.hidden=[64] trainer.max_epochs=8",
    ),
    "inputs_not_standardized": (
        "data=wine data.standardize=false",
        "data=breast_cancer data.standardize=false",
        "data=diabetes data.standardize=false",
    ),
    "class_imbalance": (
        "data=csv data.path=rare.csv data.target=label model.hidden=[16] optimizer=adam",
    ),
}
"""By the name of the rule that should find them: overrides."""

SETS = ("digits", "iris", "wine", "breast_cancer", "diabetes", "moons", "circles", "spirals")
HEALTHY = (
    *(f"data={data}" for data in SETS),
    *(
        f"data={data} optimizer={optimizer} norm={norm} trainer.max_epochs={epochs}"
        for data, epochs in (("digits", 50), ("wine", 200), ("diabetes", 100), ("moons", 60))
        for optimizer in ("adam", "adamw", "rmsprop", "momentum", "nesterov", "sgd")
        for norm in ("none", "batch", "layer")
    ),
    *(f"data=digits init={init}" for init in ("xavier", "lecun", "orthogonal", "torch")),
    *(f"data=digits model.activation={g}" for g in ("tanh", "leaky_relu", "gelu", "selu")),
    *(f"data=digits reg={reg}" for reg in ("l1", "l2", "weight_decay", "dropout", "max_norm")),
    "data=digits scheduler=cosine",
    "data=digits loss=bce",
    "data=digits loss=mse",
    "data=iris loss=mse trainer.max_epochs=200",
    "data=iris batching=stochastic optimizer=sgd optimizer.lr=0.005",
    "data=digits model.hidden=[32,32,32,32,32]",
    "data=digits data.standardize=false",
)


@dataclass(frozen=True)
class Case:
    """A run and the rule that should speak; "" for a healthy one."""

    expected: str
    words: str
    seed: int


@dataclass(frozen=True)
class Answer:
    """The rules that spoke: at the end of the run, and when it was examined."""

    case: Case
    at_end: tuple[str, ...]
    examined: tuple[str, ...]


def answer(case: Case) -> Answer:
    """Train the case in a folder of its own, and ask the doctor twice."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place, chdir(place):
        write_tables()
        folder = Path(place, "run")
        words = [*case.words.split(), f"seed={case.seed}", "device=cpu", "trainer.threads=1"]
        config = compose_run(words, None)
        write_hydra_files(folder, hydra_files(config, plain(config)))
        run_job(stored_job(folder, trust=False, in_sweep=True))
        run = stored(folder)
        at_end = tuple(diagnose(read(folder, run.config, run.options)))
        findings, _ = examine(folder, run)
    return Answer(case, at_end, tuple(diagnose(findings)))


def write_tables() -> None:
    """``shuffled.csv``: labels that have nothing to do with the inputs; ``rare.csv``: 4 % of the
    rows are of a class that overlaps with the other."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 4, generator=draw)
    label = torch.rand(2000, generator=draw) < 0.5
    write_table(Path("shuffled.csv"), x, label)
    rare = torch.rand(2000, generator=draw) < 0.04
    write_table(Path("rare.csv"), x + 1.2 * rare[:, None], rare)


def write_table(path: Path, x: torch.Tensor, label: torch.Tensor) -> None:
    rows = [
        ",".join([*(f"{v:.4f}" for v in row), f"class{int(k)}"])
        for row, k in zip(x.tolist(), label.tolist(), strict=True)
    ]
    path.write_text("\n".join(["a,b,c,d,label", *rows]) + "\n")


def cases(seeds: Sequence[int]) -> list[Case]:
    wanted = [(rule, words) for rule, runs in DISEASED.items() for words in runs]
    wanted += [("", words) for words in HEALTHY]
    return [Case(rule, words, seed) for rule, words in wanted for seed in seeds]


def ask(asked: Sequence[Case], *, show: bool) -> list[Answer]:
    """The answers, from processes of their own."""
    with ProcessPoolExecutor(cores(), get_context("spawn")) as pool:
        answers = []
        for number, said in enumerate(pool.map(answer, asked), 1):
            answers.append(said)
            if show:
                words = ", ".join(said.at_end) or "-", ", ".join(said.examined) or "-"
                expected = said.case.expected or "healthy"
                print(f"{number}/{len(asked)} {expected}: {said.case.words} seed={said.case.seed}")
                print(f"    {words[0]} | {words[1]}", flush=True)
        return answers


def counted(answers: Sequence[Answer]) -> str:
    """The table of docs/doctor.md."""
    rows = []
    for rule in DISEASED:
        mine = [a for a in answers if a.case.expected == rule]
        if mine:
            at_end = sum(rule in a.at_end for a in mine)
            examined = sum(rule in a.examined for a in mine)
            said = sum(bool(a.examined) for a in mine)
            rows.append([rule, *(str(n) for n in (len(mine), at_end, examined, said))])
    healthy = [a for a in answers if not a.case.expected]
    at_end, examined = (sum(bool(getattr(a, when)) for a in healthy) for when in WHEN)
    heads = ["disease", "runs", "found at the end", "found by the doctor", "any diagnosis"]
    return (
        f"{table(heads, rows)}\n\n{len(healthy)} healthy runs; false alarms at the end of the run: "
        f"{at_end}, by the doctor: {examined}"
    )


WHEN = ("at_end", "examined")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each kind")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--show", action="store_true", help="what was said of each run")
    parser.add_argument("--only", default=None, help="one disease, or healthy")
    arguments = parser.parse_args()
    asked = cases(range(arguments.first, arguments.first + arguments.seeds))
    if arguments.only:
        only = "" if arguments.only == "healthy" else arguments.only
        asked = [case for case in asked if case.expected == only]
    answers = ask(asked, show=arguments.show)
    print(
        f"{machine()}, torch {torch.__version__}; seeds from "
        f"{arguments.first}: {arguments.seeds}\n\n{counted(answers)}"
    )


if __name__ == "__main__":
    main()
