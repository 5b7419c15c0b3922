"""The commands to run next, to be copied: more seeds, or fresh seeds for a shortlist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exprun.sweeps import ledger
from exprun.sweeps.comparison.levels import Level, best_configuration
from exprun.sweeps.comparison.pairs import FIVE
from exprun.sweeps.launcher import LOCAL
from exprun.sweeps.results import REPETITION, VARIANT, Configuration, Results

FRESH = 100
"""The first seed for a shortlist, if no job has had it."""

CONFIRMED_BY = 10
"""Seeds for a shortlist."""


def more_seeds(results: Results, more: int, options: Sequence[str]) -> list[str]:
    """The first sweep's command with ``more`` seeds (or splits) after those that there are, in a
    folder of its own, and the comparison of all with these ``options``. Where one seed is all there
    is, the sweep with five, the first included."""
    key = next(reversed(results.repetition), "seed")
    seeds = _numbers(results, key)
    if not seeds or not more:
        return []
    if len(seeds) == 1:
        first = seeds[0]
        return [_again(results, f"{key}=range({f'{first},' if first else ''}{first + FIVE})")]
    place = _beside(results.sweeps[0], "more")
    added = f"{key}=range({seeds[-1] + 1},{seeds[-1] + 1 + more})"
    words = ["exprun", "compare", *map(str, results.sweeps), place, *options]
    return [_again(results, added, place), shlex.join(words)]


def confirmation(results: Results, shortlist: Sequence[Level], validation: str) -> list[str]:
    """The best configurations of the ``shortlist`` on seeds that none of them was chosen by, and
    their comparison."""
    seeds = _numbers(results, "seed")
    if not seeds:
        return []
    first = max(FRESH, seeds[-1] + 1)
    best = [best_configuration(level, validation) for level in shortlist]
    place = _beside(results.sweeps[0], "confirm")
    words = [
        _variants(results, best),
        *results.shared,
        f"seed=range({first},{first + CONFIRMED_BY})",
    ]
    content = ledger.read(results.sweeps[0])
    return [shlex.join(_command(content, words, place)), shlex.join(["exprun", "compare", place])]


def _numbers(results: Results, key: str) -> list[int]:
    """The values of a repetition key in all jobs."""
    index = REPETITION.index(key)
    return sorted({int(v) for job in results.jobs if (v := job.block[index]).isdigit()})


def _again(results: Results, repetition: str, place: str | None = None) -> str:
    """The command of the first sweep with other seeds."""
    content = ledger.read(results.sweeps[0])
    key = repetition.partition("=")[0]
    asked = results.batches[0].overrides
    if VARIANT in results.factors and not any(word.startswith("experiment=") for word in asked):
        asked = [_variants(results, results.configurations), *results.shared]
    asked = [w for w in asked if w.lstrip("+").partition("=")[0] != key]
    return shlex.join(_command(content, [*asked, repetition], place))


def _command(content: Mapping[str, Any], words: list[str], place: str | None) -> list[str]:
    own = ["--config-dir", content["config_dir"]] if content.get("config_dir") else []
    launcher = [f"hydra/launcher={LOCAL}"] if content["launcher"] == LOCAL else []
    folder = [f"hydra.sweep.dir={place}"] if place else []
    return ["exprun", *own, "-m", *launcher, *words, *folder]


def _beside(sweep: Path, what: str) -> str:
    """A folder's name that is not taken."""
    names = (f"{sweep}_{what}{number}" for number in ["", *range(2, 1000)])
    return next(name for name in names if not Path(name).exists())


def _variants(results: Results, configurations: Sequence[Configuration]) -> str:
    """The override that asks for these configurations and no others."""
    entries = []
    for configuration in configurations:
        own = [w.partition("=") for w in configuration.overrides if w not in results.shared]
        name = re.sub(r"[^\w.]+", "_", "_".join(configuration.values.values())).strip("_")
        entries.append(f"{name}: {{{', '.join(f'{key}: {value}' for key, _, value in own)}}}")
    return f"hydra.sweeper.variants={{{', '.join(entries)}}}"
