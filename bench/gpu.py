"""What exprun does on a GPU: tests, equal results, speed and memory, in one Markdown file.

    python -m bench.gpu --out gpu.md              # nine minutes on a machine with a CUDA card
    python -m bench.gpu --device cpu --quick      # shows that it works; the figures mean nothing

Every section is a process of its own, because a call that hangs on a GPU can only be killed. It
may take its share of the time that is left, and writes each row as soon as it is measured; what
fails or takes too long says so in its place, and the next section begins. ``docs/gpu.md`` has the
command for a bare machine without a network.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.gpu_sections import SECTIONS, Options
from bench.side_by_side import ROOT, progress

SECONDS = 540.0
LAST_WORDS = 0.1
"""Share of a section's seconds between the time at which it should stop by itself and its end."""


def append(out: Path, text: str) -> None:
    with out.open("a") as file:
        file.write(f"{text}\n")


def run_section(name: str, options: argparse.Namespace, seconds: float) -> None:
    """Run a section in a process of its own, which is killed after so many seconds."""
    section = SECTIONS[name]
    append(options.out, f"\n## {section.title}\n\n{section.meaning}\n")
    words = ["--section", name, "--out", str(options.out), "--device", options.device]
    words += ["--seconds", str(seconds * (1 - LAST_WORDS)), *["--quick"] * options.quick]
    environment = {**os.environ, **section.environment, "PYTHONUNBUFFERED": "1"}
    began = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.gpu", *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, errors = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        append(options.out, f"\n**Killed after {time.monotonic() - began:.0f} s.**")
    else:
        if child.returncode:
            append(options.out, f"\n**Failed** (exit code {child.returncode}):\n")
            append(options.out, "\n".join(["```", *errors.strip().splitlines()[-12:], "```"]))
        append(options.out, f"\n{time.monotonic() - began:.0f} s.")
    finally:
        end_group(child)


def end_group(child: subprocess.Popen[str]) -> None:
    """Kill what the child has started and has not ended, and the child."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    child.communicate()


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="bench.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu to try it out")
    parser.add_argument("--out", type=Path, default=Path("gpu.md"), help="the Markdown file")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for all of it")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="repeatable")
    parser.add_argument("--quick", action="store_true", help="few members, short measurements")
    parser.add_argument("--section", choices=SECTIONS, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    ends = time.monotonic() + options.seconds
    if options.section:
        SECTIONS[options.section].write(
            Options(options.device, options.quick, ends, lambda text: append(options.out, text))
        )
        return
    options.out = options.out.absolute()
    options.out.write_text(f"# exprun on {options.device}\n")
    names = options.only or list(SECTIONS)
    for number, name in enumerate(names):
        share = SECTIONS[name].share / sum(SECTIONS[other].share for other in names[number:])
        progress(f"{name}, {number + 1} of {len(names)}")
        run_section(name, options, share * max(0.0, ends - time.monotonic()))
    progress("")
    print(options.out.read_text())


if __name__ == "__main__":
    main()
