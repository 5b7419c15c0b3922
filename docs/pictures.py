"""Make the README's pictures from real runs: ``python docs/pictures.py`` (needs tmux, Chromium)."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent
SCRIPTS = Path(sys.executable).parent
RUN = "exprun optimizer=adam reg=dropout"
SWEEP = (
    "exprun -m hydra/launcher=stacked optimizer=sgd,adam reg=none,dropout seed=range(5) "
    "stopping=none trainer.max_epochs=30"
)
QUESTION = (
    "exprun -m hydra/launcher=stacked optimizer=sgd,momentum,rmsprop,adam reg=none,l2,dropout "
    "seed=range(5) trainer.max_epochs=10"
)
DIAGNOSED = "exprun diagnostics=full model.activation=sigmoid model.hidden=[64,64,64,64]"
PORT = 6123
PAGE = f"http://localhost:{PORT}/#"
CHROMIUM = (
    "chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --hide-scrollbars "
    "--window-size=1060,500 --force-device-scale-factor=1.5 --virtual-time-budget=30000"
)


def terminal(folder: Path) -> None:
    """The command in a terminal of 88 columns, as it looks at the end."""
    done = folder / "done"
    shell = f"cd {folder}; export PATH={SCRIPTS}:$PATH; clear; {RUN}; touch {done}; cat"
    subprocess.run(["tmux", "new-session", "-d", "-s", "exprun", "-x88", "-y24", shell], check=True)
    wait_for(done.exists)
    screen = subprocess.run(
        ["tmux", "capture-pane", "-p", "-e", "-t", "exprun"], capture_output=True, check=True
    )
    subprocess.run(["tmux", "kill-session", "-t", "exprun"], check=True)
    console = Console(record=True, width=88, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(screen.stdout.decode().rstrip()))
    console.save_svg(str(DOCS / "terminal.svg"), title=RUN)


def tensorboard(folder: Path, command: str, page: str, name: str) -> None:
    """What TensorBoard shows of the run or sweep that a command makes."""
    environment = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}
    folder.mkdir()
    subprocess.run(command.split(), cwd=folder, env=environment, check=True)
    (made,) = (folder / "outputs").glob("*/*")
    mean = made / "mean"
    logdir = mean if mean.is_dir() else made
    server_command = [str(SCRIPTS / "tensorboard"), "--logdir", str(logdir), "--port", str(PORT)]
    with subprocess.Popen(server_command, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(lambda: answers(f"http://localhost:{PORT}/data/plugin/custom_scalars/layout"))
            profile, picture = folder / "profile", DOCS / name
            options = [f"--user-data-dir={profile}", f"--screenshot={picture}", PAGE + page]
            subprocess.run([*CHROMIUM.split(), *options], check=True)
        finally:
            server.terminate()


def report(folder: Path) -> None:
    """The head of the page of a sweep."""
    environment = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}
    folder.mkdir()
    for command in (f"{QUESTION} hydra.sweep.dir=sweep", "exprun report sweep"):
        subprocess.run(command.split(), cwd=folder, env=environment, check=True)
    command = CHROMIUM.replace("1060,500", "1200,1340").replace("factor=1.5", "factor=1")
    profile, picture = folder / "profile", DOCS / "report.png"
    options = [f"--user-data-dir={profile}", f"--screenshot={picture}"]
    subprocess.run([*command.split(), *options, f"{folder}/sweep/report.html"], check=True)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address) as response:
            return len(response.read()) > 2
    except OSError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {condition}")
        time.sleep(0.2)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        terminal(Path(scratch))
        curves = "custom_scalars&_smoothingWeight=0"
        tensorboard(Path(scratch) / "sweep", SWEEP, curves, "tensorboard.png")
        report(Path(scratch) / "report")
        tensorboard(Path(scratch) / "run", DIAGNOSED, "histograms", "diagnostics.png")
