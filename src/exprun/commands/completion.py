"""Shell completion of words unknown to Hydra: commands, topics of ``explain``, and the values of
keys that take one of a few words. Nothing here imports torch.

The shells' scripts (``exprun -sc install=bash``) call ``exprun -sc query=bash`` with the line in
``COMP_LINE``; Hydra answers with groups, options and keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from exprun.commands import COMMANDS
from exprun.config.options import groups, options
from exprun.config.paths import conf_dir
from exprun.config.rules import rule_for


def is_command(line: str) -> bool:
    """Whether the line, which begins with the program's name, is past the name of a command, where
    Hydra's completions do not apply."""
    words = line.split()[1:]
    return bool(words) and words[0] in COMMANDS and (len(words) > 1 or line.endswith(" "))


def complete(line: str) -> list[str]:
    """The completions of the last word of a line, in addition to Hydra's; if there are none, the
    shell completes paths."""
    *before, word = line.split()[1:] if not line.endswith(" ") else [*line.split()[1:], ""]
    return sorted({found for found in _candidates(before, word) if found.startswith(word)})


def _candidates(before: list[str], word: str) -> Iterable[str]:
    if before and before[0] in COMMANDS:
        return _topics() if before[0] == "explain" else ()
    if "=" in word:
        return _values(word.partition("=")[0])
    return () if before else COMMANDS


def _values(key: str) -> Iterator[str]:
    rule = rule_for(key)
    return (f"{key}={word}" for word in (rule.words if rule else ()))


def _topics() -> Iterator[str]:
    from exprun.commands.option_pages import CONFIG, HYDRA, PUBLISHED, all_keys

    folders: list[Path] = [conf_dir()]
    known = [*groups(folders), *HYDRA, CONFIG, PUBLISHED]
    yield from known
    for group in known:
        yield from (f"{group}={name}" for name in options(group, folders))
    yield from all_keys(folders, known)
