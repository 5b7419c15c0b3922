"""The commands that read a folder or a name, one module each, and what they have in common.

A command's module has ``main(words) -> int``: ``words`` follow the command's name on the command
line, the exit code comes back. It is imported when the command is run, so a command that needs
torch costs the others nothing.
"""

from __future__ import annotations

import argparse
from typing import NoReturn

from exprun.common.errors import UsageError, nearest

COMMANDS = ("compare", "doctor", "evaluate", "explain", "export", "predict", "resume")
"""Their names, which are those of the modules."""


class Parser(argparse.ArgumentParser):
    """The arguments of a command; what is wrong with them is raised as UsageError, in one line."""

    def __init__(self, command: str, description: str) -> None:
        super().__init__(f"exprun {command}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        usage = " ".join(self.format_usage().removeprefix("usage: ").split())
        flags = [flag for action in self._actions for flag in action.option_strings]
        unknown = message.partition("unrecognized arguments: ")[2].split()
        hint = nearest(unknown[0], flags) if unknown else ""
        raise UsageError(f"{self.prog.partition(' ')[2]}: {message}{hint}; expected {usage}")
