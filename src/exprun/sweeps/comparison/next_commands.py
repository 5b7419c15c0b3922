"""Shell commands to run next: more seeds, or fresh seeds for a shortlist."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exprun.common.override_value import override_value
from exprun.sweeps import ledger
from exprun.sweeps.comparison.levels import Level, best_configuration
from exprun.sweeps.launcher import LOCAL
from exprun.sweeps.results import FOLD, REPETITION, VARIANT, Configuration, Results

FRESH = 100
"""The first seed for a shortlist, unless jobs have used seeds this large."""

CONFIRMED_BY = 10
"""Number of seeds for a shortlist."""


def more_seeds(results: Results, more: int, options: Sequence[str]) -> list[str]:
    """The command that adds ``more`` seeds (or splits) after the existing ones to the first sweep,
    and, unless the end of that sweep prints it, the comparison of all sweeps with these
    ``options``. Empty if ``more`` is 0 or there is no numeric seed.

    A sweep that takes no more jobs (one of a preset with published figures, or of exprun 0.1) is
    followed by one in a new folder.
    """
    key = _repeated_key(results)
    seeds = _numbers(results, key)
    if not seeds or not more:
        return []
    first = results.sweeps[0]
    place, sweeps = f"sweep.into={override_value(first)}", results.sweeps
    if not _takes_more(first):
        new = _beside(first, "more")
        place, sweeps = f"hydra.sweep.dir={override_value(new)}", [*results.sweeps, new]
    added = f"{key}=range({seeds[-1] + 1},{seeds[-1] + 1 + _values_for(results, more)})"
    commands = [_command(results, _all_again(results, added), place)]
    if options or len(sweeps) > 1:
        commands.append(["exprun", "compare", *map(str, sweeps), *options])
    return [shlex.join(words) for words in commands]


def jobs_of(results: Results, more: int) -> int:
    """The number of jobs for ``more`` seeds (or splits) of every configuration."""
    index = REPETITION.index(_repeated_key(results))
    more = _values_for(results, more)
    if _follow(results):
        return more * len(results.configurations)
    others = {job.block[:index] + job.block[index + 1 :] for job in results.jobs}
    return more * len(results.configurations) * len(others)


def confirmation(results: Results, shortlist: Sequence[Level], validation: str) -> list[str]:
    """The commands that run the best configuration of each level in the ``shortlist`` on fresh
    seeds (or splits), which had no part in their selection, and compare them."""
    key = _repeated_key(results)
    seeds = _numbers(results, key)
    if not seeds:
        return []
    first = max(FRESH, seeds[-1] + 1)
    best = [best_configuration(level, validation) for level in shortlist]
    place = _beside(results.sweeps[0], "confirm")
    fresh = f"{key}=range({first},{first + _values_for(results, CONFIRMED_BY)})"
    words = [_variants(results, best), *_shared(results, key), fresh]
    again = _command(results, words, f"hydra.sweep.dir={override_value(place)}")
    return [shlex.join(again), shlex.join(["exprun", "compare", str(place)])]


def _repeated_key(results: Results) -> str:
    """The key whose values are extended for more repetitions: that of the splits, if they vary and
    do not follow the seed (``data.split_seed=${seed}``), else ``seed``. There are no more folds
    than ``data.folds``, but other seeds of the split draw others."""
    if FOLD in results.repetition:
        return "seed" if "data.split_seed" in _follow(results) else "data.split_seed"
    following = _follow(results)
    own = [key for key in results.repetition if key not in following]
    return own[-1] if own else "seed"


def _values_for(results: Results, more: int) -> int:
    """The number of values of the repeated key for ``more`` repetitions: each has all folds."""
    folds = {job.block[REPETITION.index(FOLD)] for job in results.jobs}
    return math.ceil(more / len(folds))


def _follow(results: Results) -> list[str]:
    """The repetition keys whose value is an interpolation of another key."""
    asked = dict(word.lstrip("+").partition("=")[::2] for word in results.batches[0].overrides)
    return [key for key in REPETITION if "$" in asked.get(key, "")]


def _numbers(results: Results, key: str) -> list[int]:
    """The sorted integer values of a repetition key in all jobs."""
    index = REPETITION.index(key)
    found = sorted({int(v) for job in results.jobs if (v := job.block[index]).isdigit()})
    return found or [0] * (key == "data.split_seed")  # its default


def _all_again(results: Results, repetition: str) -> list[str]:
    """The overrides for every configuration with the ``repetition``: those of the first sweep if it
    has all configurations, else variants."""
    key = repetition.partition("=")[0]
    asked = results.batches[0].overrides
    there = all(any(job.batch == 0 for job in one.jobs) for one in results.configurations)
    whole = any(word.startswith("experiment=") for word in asked) or VARIANT not in results.factors
    if there and whole:
        words = [word for word in asked if _key(word) != key]
    else:
        words = [_variants(results, results.configurations), *_shared(results, key)]
    return [*words, repetition]


def _shared(results: Results, key: str) -> list[str]:
    """The overrides that all jobs share, and those of the repetition keys other than ``key``."""
    asked = results.batches[0].overrides
    others = [word for word in asked if _key(word) in REPETITION and _key(word) != key]
    return [*results.shared, *others]


def _key(word: str) -> str:
    return word.lstrip("+").partition("=")[0]


def _command(results: Results, words: Sequence[str], place: str) -> list[str]:
    content: Mapping[str, Any] = ledger.read(results.sweeps[0])
    own = ["--config-dir", content["config_dir"]] if content.get("config_dir") else []
    launcher = [f"hydra/launcher={LOCAL}"] if content["launcher"] == LOCAL else []
    return ["exprun", *own, "-m", *launcher, *words, place]


def _takes_more(sweep: Path) -> bool:
    """Whether jobs can be added to the sweep with ``sweep.into``."""
    return not ledger.read(sweep).get("published") and ledger.Configs(sweep).path.is_file()


def _beside(sweep: Path, what: str) -> Path:
    """The path of a new folder next to ``sweep``, with the suffix ``what``."""
    names = (f"{sweep}_{what}{number}" for number in ["", *range(2, 1000)])
    return next(path for name in names if not (path := Path(name)).exists())


def _variants(results: Results, configurations: Sequence[Configuration]) -> str:
    """The override that requests exactly these configurations, as variants."""
    entries: dict[str, str] = {}
    for configuration in configurations:
        own = [w.partition("=") for w in configuration.overrides if w not in results.shared]
        name = re.sub(r"[^\w.]+", "_", "_".join(configuration.values.values())).strip("_")
        if not name or name in entries:
            name = f"{name}_{len(entries)}".strip("_")
        entries[name] = f"{{{', '.join(f'{key}: {value}' for key, _, value in own)}}}"
    listed = ", ".join(f"{name}: {own}" for name, own in entries.items())
    return f"hydra.sweeper.variants={{{listed}}}"
