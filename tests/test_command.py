"""A command in a fork is the command in a new interpreter."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from exprun.record import lease
from tests.command import EXPRUN, forked, run_command, run_interpreter
from tests.sweeps.processes import alive, needs_proc, wait_until

QUICK = ["data=iris", "trainer.max_epochs=2", "hydra.run.dir=run"]
ENDLESS = ["data=iris", "trainer.max_epochs=1000000", "stopping=none", "hydra.run.dir=run"]
PRINTS = """
import os, sys
from exprun.techniques.optimizers import Momentum
found = sorted(os.environ.items()), os.getcwd(), sys.argv, sys.orig_argv, sys.path
print(found, os.getpgrp(), sys.stdin.read(), file=sys.stderr)
class Prints(Momentum):
    pass
"""


@pytest.fixture
def optimizer(tmp_path: Path) -> list[str]:
    """Words that choose an optimizer whose module prints what its process was given."""
    (tmp_path / "prints.py").write_text(PRINTS)
    (tmp_path / "conf" / "optimizer").mkdir(parents=True)
    (tmp_path / "conf" / "optimizer" / "prints.yaml").write_text(
        "_target_: prints.Prints\nlr: 0.1\n"
    )
    return ["--config-dir", "conf", "optimizer=prints"]


def test_it_is_given_what_a_new_interpreter_is_given(tmp_path: Path, optimizer: list[str]) -> None:
    """Environment, folder, words, path, process group and standard input."""
    environment = os.environ | {"OF_ITS_OWN": "ä\n=", "TZ": "Asia/Tokyo"}
    environment.pop("HOME", None)
    said = [
        subprocess.run(
            [*words, *QUICK[:2], *optimizer, f"hydra.run.dir={len(words)}"],
            cwd=tmp_path, env=environment, input="typed", capture_output=True, text=True,
            check=True,
        ).stderr.replace(f"hydra.run.dir={len(words)}", "")
        for words in (EXPRUN, forked())
    ]  # fmt: skip
    assert "typed" in said[0]
    assert said[0] == said[1]


@pytest.mark.parametrize(
    "words", [["--version"], ["optimizer.lrr=1"], ["resume"], ["nope"], []], ids=" ".join
)
def test_it_ends_as_a_new_interpreter_ends(words: list[str], tmp_path: Path) -> None:
    ends = [run(tmp_path, *words, "data=irs") for run in (run_command, run_interpreter)]
    found = [(end.returncode, end.stdout, end.stderr) for end in ends]
    assert found[0] == found[1]


def test_variables_that_are_read_at_start_are_obeyed(tmp_path: Path, without_torch: str) -> None:
    assert run_command(tmp_path, *QUICK).returncode == 0
    done = run_command(tmp_path, *QUICK[:2], PYTHONPATH=without_torch)
    assert "torch was imported" in done.stderr


@needs_proc
def test_no_process_is_left_of_a_command_that_takes_too_long(tmp_path: Path) -> None:
    """Not only the relay is killed."""
    with subprocess.Popen([*forked(), *ENDLESS], cwd=tmp_path, stdout=subprocess.DEVNULL) as relay:
        wait_until(lambda: any(tmp_path.rglob("metrics.csv")))
        found = lease.holder(tmp_path / "run")
        relay.kill()
    assert found is not None
    assert found.process != relay.pid
    wait_until(lambda: not alive(found.process))
