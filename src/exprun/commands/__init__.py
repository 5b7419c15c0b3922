"""The commands that take a folder, a file or a name, one module each, and the code that they share.

A command's module has ``main(words) -> int``, which takes the words after the command's name and
returns the exit code. It is imported only when the command is run, so a command that needs torch
does not slow down the others.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from exprun.common.errors import UsageError, choices, nearest
from exprun.common.named_files import files_in

COMMANDS = (
    "compare",
    "doctor",
    "evaluate",
    "explain",
    "export",
    "inspect",
    "plot",
    "predict",
    "report",
    "resume",
    "watch",
)
"""The names of the commands, which are those of their modules."""


INVALID_CHOICE = r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)"
"""argparse's error message for a value that is not among an option's choices."""

REFUSED = r"argument (\S+): (.*: expected .*)"
"""argparse's error message for a value that its type refuses with an ArgumentTypeError."""


class Parser(argparse.ArgumentParser):
    """Parser of a command's arguments; raises its errors as UsageError, in one line."""

    def __init__(self, command: str, description: str) -> None:
        super().__init__(f"exprun {command}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        usage = " ".join(self.format_usage().removeprefix("usage: ").split())
        flags = [flag for action in self._actions for flag in action.option_strings]
        choice = re.fullmatch(INVALID_CHOICE, message)
        if choice:
            allowed = [word.strip("'") for word in choice[3].split(", ")]
            message = f"{choice[1]} {choice[2]}: expected {choices(allowed)}"
            raise UsageError(message + nearest(choice[2], allowed))
        if refused := re.fullmatch(REFUSED, message, re.DOTALL):
            raise UsageError(f"{refused[1].rpartition('/')[2]} {refused[2]}")
        unknown = message.partition("unrecognized arguments: ")[2].split()
        hint = nearest(unknown[0], flags) if unknown else ""
        raise UsageError(f"{self.prog.partition(' ')[2]}: {message}{hint}; expected {usage}")


def check_output(path: Path, suffixes: tuple[str, ...], source: str | None = None) -> None:
    """Raise UsageError for a file that cannot be written or has another suffix, before anything is
    computed."""
    if path.suffix not in suffixes:
        hint = nearest(path.suffix, suffixes)
        raise UsageError(f"-o {path}: expected a name that ends in {' or '.join(suffixes)}{hint}")
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise UsageError(f"-o {path}: {what}; expected a file in a folder that exists")
    if source is not None and path.resolve() in {file.resolve() for file in files_in(source)}:
        raise UsageError(f"-o {path}: is the file that is read; expected another")


def positive(text: str) -> float:
    """argparse type: a finite positive number."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: expected a number > 0")
    return value


def at_least(low: int) -> Callable[[str], int]:
    """argparse type: a whole number of at least ``low``."""

    def number(text: str) -> int:
        if not (text.isdecimal() and int(text) >= low):
            raise argparse.ArgumentTypeError(f"{text}: expected a whole number of at least {low}")
        return int(text)

    return number


def keys(text: str) -> list[str]:
    """argparse type: a list of keys, separated by commas."""
    found = [key.strip() for key in text.split(",") if key.strip()]
    if not found:
        raise argparse.ArgumentTypeError(f"{text}: expected some keys, like optimizer,reg")
    return found
