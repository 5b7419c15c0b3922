"""The output at the end of a run, of a sweep's job, and of a sweep."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from exprun.common.constants import (
    COMPLETED,
    DIVERGED,
    DONE,
    EARLY_STOPPED,
    FAILED,
    INTERRUPTED,
    STOPPED,
)
from exprun.display import diagnostics
from exprun.display.text import (
    default_console,
    duration,
    figure,
    printable,
    short_keys,
    shorten,
    wrap,
)

TOP = 10
"""Maximum number of jobs without a result that are shown."""

MAX_WIDTH = 100
"""Maximum width in columns, except for paths and reasons."""

TITLE_WIDTH = 32
"""Minimum width in columns for the overrides beside the figures."""

LABEL_WIDTH = 8

CURVE = ("loss", "accuracy", "rmse", "mae", "r2", "poisson_deviance")
"""Figures shown for every part of the data; all others are in result.json."""

FINAL = (*CURVE, "macro_f1", "roc_auc", "mean_rank_error", "quadratic_kappa")
"""Figures shown for the test part."""

STYLES = {
    COMPLETED: "green",
    EARLY_STOPPED: "green",
    DIVERGED: "red",
    FAILED: "red",
    INTERRUPTED: "yellow",
    STOPPED: "dim",
}
SUCCESSFUL = (COMPLETED, EARLY_STOPPED)
NO_TEST = {
    DIVERGED: "not evaluated, for the run diverged",
    FAILED: "not evaluated, for the run failed",
    INTERRUPTED: "not evaluated, for the run was interrupted",
    STOPPED: "not evaluated, for a search stopped the run",
}


def summary(
    result: Mapping[str, Any],
    folder: str,
    console: Console | None = None,
    *,
    remarks: Sequence[str] = (),
) -> None:
    """Print the end of a single run: test result, reason for stopping, the doctor's remarks,
    folder, and the command that shows the curves.

    ``result`` is the content of result.json; ``folder`` is the run's, relative to the working
    directory.
    """
    console = console or default_console()
    status, metrics = result["status"], result["metrics"]
    test, val = (
        "   ".join(
            f"{name.removeprefix(part)} {figure(value)}"
            for name, value in metrics.items()
            if name.startswith(part) and name.removeprefix(part) in shown
        )
        for part, shown in (("test_", FINAL), ("val_", CURVE))
    )
    diagnosed = Path(folder) / "diagnostics.csv"
    if diagnosed.is_file():
        diagnostics.layers(diagnosed, console)
    console.print()
    if result.get("pictures"):
        _print_problem(console, result)
    else:
        missing = NO_TEST.get(status, "no rows set aside")
        say(console, "test", test or missing, "bold" if test else "")
    if val:
        say(console, "val", f"{val}   (epoch {result['best_epoch']})")
    if result.get("averaged"):
        say(console, "model", "the averaged weights; val_loss in metrics.csv is of the raw ones")
    ended = f"{_ending(result)} ({duration(result['seconds'])})"
    say(console, "ended", ended, STYLES[status])
    if result.get("engine"):
        say(console, "engine", result["engine"])
    for picture in result.get("pictures", ())[:1]:
        say(console, "picture", str(Path(folder) / picture), to_copy=True)
    for remark in remarks:
        say(console, "doctor", remark, "yellow")
    _print_folder(console, "run", folder, unfinished=status == INTERRUPTED)
    if remarks:
        say(console, "why", f"exprun doctor {shlex.quote(folder)}", "cyan", to_copy=True)


def _print_problem(console: Console, result: Mapping[str, Any]) -> None:
    """Print the figures of a problem that trains no network."""
    metrics = dict(result["metrics"])
    if "f" in metrics:
        x, y = (figure(metrics.pop(name)) for name in ("x", "y"))
        say(console, "f", f"{figure(metrics.pop('f'))} at ({x}, {y})", "bold")
    words = [f"{name.replace('_', ' ')} {figure(value)}" for name, value in metrics.items()]
    say(console, "", "   ".join(words))


def job_line(
    number: int,
    progress: str,
    title: str,
    result: Mapping[str, Any],
    console: Console | None = None,
) -> None:
    """Print one line for a finished job of a sweep; ``progress`` counts finished jobs, like
    ``3/24``."""
    console = console or default_console()
    head = f"{progress:>{2 * len(progress.partition('/')[2]) + 1}} [{number}]"
    words = [_ending(result)]
    if result["status"] in SUCCESSFUL:
        metrics = result["metrics"]
        kept_by = result.get("monitor") or "val_loss"  # chooses the best epoch
        chosen = kept_by if kept_by in metrics else "train_loss"
        part = chosen.partition("_")[0]
        others = [f"{part}_{name}" for name in CURVE[1:] if f"{part}_{name}" in metrics]
        figures = [n for n in dict.fromkeys([*others[:1], chosen, "f"]) if n in metrics]
        words = [f"{name} {figure(metrics[name])}" for name in figures]
        words += [result["verdict"]] if "verdict" in result else []
        words += [f"epoch {result['best_epoch']}"] if result["best_epoch"] else []
        words.append(duration(result["seconds"]))
    width = MAX_WIDTH
    if console.is_terminal:  # it must fit on one line
        width = min(console.width, MAX_WIDTH)
        room = console.width - len(head) - 3
        if len(title) + len("  ".join(words)) > room:
            title = short_keys(title)
        while len(words) > 1 and len(title) + len("  ".join(words)) > room:
            words.pop()  # drop a figure rather than cut a value
        words = [shorten("  ".join(words), room - min(TITLE_WIDTH, room // 3, len(title)))]
        title = shorten(title, room - len(words[0]))
    tail = printable("  ".join(words), console)
    gap = max(width - len(head) - 3 - len(tail), 0)
    console.print(
        Text.assemble(
            (head, "dim"),
            f" {printable(title, console):<{gap}}  ",
            (tail, STYLES[result["status"]]),
        ),
        soft_wrap=True,
    )


def sweep_summary(
    rows: Sequence[Mapping[str, Any]],
    folder: str,
    console: Console | None = None,
    *,
    pictures: Sequence[str] = (),
) -> None:
    """Print the end of a sweep: number of jobs per status, jobs without a result and the reasons,
    and the folder.

    ``rows`` are those of the leaderboard, best first; ``folder`` is the sweep's, relative to the
    working directory; ``pictures`` are names of files in it.
    """
    console = console or default_console()
    rows, shared = _without_shared(rows)
    quiet = (*SUCCESSFUL, STOPPED)
    others = [row for row in rows if row["status"] not in quiet and row["reason"]]
    others.sort(key=lambda row: row["number"])
    console.print()
    if shared:
        say(console, "all", shared)
    counts = Counter(COMPLETED if row["status"] in SUCCESSFUL else row["status"] for row in rows)
    ended = ", ".join(f"{number} {status}" for status, number in counts.items())
    say(console, "jobs", f"{len(rows)}: {ended}" if rows else "0")
    for row in others[:TOP]:
        line = f"[{row['number']}] {row['overrides']}  {_ending(row)}"
        say(console, "", line, STYLES[row["status"]])
    if len(others) > TOP:
        say(console, "", f"and {len(others) - TOP} more, see leaderboard.csv")
    for picture in pictures:
        if picture.endswith(".png"):
            say(console, "picture", str(Path(folder) / picture), to_copy=True)
    unfinished = any(row["status"] not in DONE for row in rows)
    _print_folder(console, "sweep", folder, unfinished=unfinished)


def submitted(jobs: int, arrays: Sequence[str], folder: str) -> None:
    """After jobs were handed to SLURM as some arrays: how to see them, and how to stop them."""
    console = default_console()
    console.print()
    say(console, "jobs", f"{jobs}, submitted to SLURM as {' '.join(arrays)}")
    say(console, "sweep", folder, to_copy=True)
    say(console, "watch", f"exprun watch {shlex.quote(folder)}", "cyan", to_copy=True)
    say(console, "stop", f"scancel {' '.join(arrays)}", "cyan", to_copy=True)


def _without_shared(rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """The rows without the overrides that all of them share, and the shared overrides."""
    words = [row["overrides"].split(" ") for row in rows]
    shared = set(words[0]).intersection(*words) if len(rows) > 1 else set()
    own = [" ".join(word for word in row if word not in shared) for row in words]
    stripped = [{**row, "overrides": title} for row, title in zip(rows, own, strict=True)]
    return stripped, " ".join(word for row in words[:1] for word in row if word in shared)


def _ending(result: Mapping[str, Any]) -> str:
    """The reason for stopping, including the status."""
    status, reason = str(result["status"]), str(result["reason"])
    return reason if reason.startswith(status) else f"{status.replace('_', ' ')}: {reason}"


def _print_folder(console: Console, what: str, folder: str, *, unfinished: bool) -> None:
    """Print the folder, the command that shows its curves (for a sweep the means over seeds), and
    the command that resumes it if unfinished."""
    mean = Path(folder) / "mean"
    logdir = str(mean) if mean.is_dir() else folder
    say(console, what, folder, to_copy=True)
    say(console, "curves", f"tensorboard --logdir {shlex.quote(logdir)}", "cyan", to_copy=True)
    if unfinished:
        say(console, "go on", f"exprun resume {shlex.quote(folder)}", "cyan", to_copy=True)


def say(console: Console, label: str, text: str, style: str = "", *, to_copy: bool = False) -> None:
    """Print a labelled paragraph; text to be copied, or written to a file, is not wrapped."""
    body = printable(text, console)
    if console.is_terminal and not to_copy:
        body = f"\n{' ' * LABEL_WIDTH}".join(wrap(body, console.width - LABEL_WIDTH))
    line = Text.assemble((f"{label:<{LABEL_WIDTH}}", "dim"), (body, style))
    console.print(line, soft_wrap=True)
