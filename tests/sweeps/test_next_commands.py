"""The commands that a comparison names: which jobs they are, and how many."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from exprun.sweeps.comparison.compare import compare
from exprun.sweeps.comparison.next_commands import jobs_of
from exprun.sweeps.read_results import read_results
from tests.sweeps.made_up import NOISE, sweep

LATER = "2999-01-01T00:00:00.000+00:00"
SPLIT, FOLLOWS = "data.split_seed", "${seed}"


def figures(**values: Any) -> dict[str, float]:
    """Of nothing but chance."""
    row = sum(map(ord, str({**values, "seed": None, "data_split_seed": None, "data_fold": None})))
    split = str(values.get("data_split_seed", 0))
    seed = (
        7 * values.get("seed", 0)
        + 5 * values.get("data_fold", 0)
        + 3 * (int(split) if split.isdigit() else 0)
    )
    value = 0.9 + NOISE[row % len(NOISE), seed % 60]
    return {"val_accuracy": value, "test_accuracy": value}


def words_of(command: str) -> set[str]:
    return set(shlex.split(command))


@pytest.mark.parametrize(
    ("repeated", "more", "kept", "splits", "jobs"),
    [
        ({"seed": range(5)}, "seed=range(5,", set(), 1, 2),
        ({"seed": range(5), SPLIT: [7]}, "seed=range(5,", {f"{SPLIT}=7"}, 1, 2),
        ({SPLIT: range(5)}, f"{SPLIT}=range(5,", set(), 5, 2),
        ({"seed": [3], SPLIT: range(5)}, f"{SPLIT}=range(5,", {"seed=3"}, 5, 2),
        ({"seed": [0, 1], SPLIT: range(5)}, f"{SPLIT}=range(5,", {"seed=0,1"}, 5, 4),
        ({SPLIT: [FOLLOWS], "seed": range(5)}, "seed=range(5,", {f"{SPLIT}={FOLLOWS}"}, 5, 2),
        ({SPLIT: ["$\\{seed\\}"], "seed": range(5)}, "seed=range(5,", set(), 5, 2),
    ],
)
def test_more_of_what_repeats(
    repeated: Mapping[str, Sequence[Any]],
    more: str,
    kept: set[str],
    splits: int,
    jobs: int,
    tmp_path: Path,
) -> None:
    """Seeds, or splits if they vary; ``jobs`` are those of one more."""
    folder = sweep(tmp_path / "s", figures, {"optimizer": ["adam", "sgd"], **repeated})
    results = read_results([folder])
    found = compare(results)
    assert found.splits == splits
    assert ("new data" in found.scope) == (splits > 1)
    words = words_of(found.commands[0])
    (added,) = (word for word in words if word.startswith(more))
    assert kept <= words
    assert jobs_of(results, 3) == 3 * jobs
    first, end = map(int, added.partition("(")[2].rstrip(")").split(","))
    assert end - first == found.pairs[0].more_seeds


def test_more_of_a_cross_validation_are_other_folds(tmp_path: Path) -> None:
    """Each other seed of the split has as many repetitions as there are folds."""
    folds = {"data.folds": [5], "data.fold": range(5)}
    folder = sweep(tmp_path / "s", figures, {"optimizer": ["adam", "sgd"], **folds})
    results = read_results([folder])
    (command, *_) = compare(results).commands
    (added,) = (word for word in words_of(command) if word.startswith(SPLIT))
    values = math.ceil(compare(results).pairs[0].more_seeds / 5)
    assert added == f"{SPLIT}=range(1,{1 + values})"
    assert "data.fold=0,1,2,3,4" in words_of(command)
    assert jobs_of(results, 11) == 3 * 5 * 2


def test_jobs_without_results_come_before_more_seeds(tmp_path: Path) -> None:
    """If nothing can be compared before they have some; a few of them do not stand in the way."""
    folder = sweep(tmp_path / "s", figures, {"optimizer": ["adam", "sgd"], "seed": range(5)})
    for number in (5, 6):
        (folder / f"{number:03d}" / "result.json").unlink()
    assert compare(read_results([folder])).commands
    for number in (7, 8, 9):
        (folder / f"{number:03d}" / "result.json").unlink()
    assert compare(read_results([folder])).commands == []


@pytest.mark.parametrize("as_one", [True, False])
def test_levels_that_came_later_get_more_seeds_too(as_one: bool, tmp_path: Path) -> None:
    first = sweep(tmp_path / "a", figures, {"optimizer": ["adam", "sgd"], "seed": range(5)})
    later = {"optimizer": ["nadam"], "lr": [1]} if as_one else {"optimizer": ["nadam", "sgd"]}
    second = sweep(tmp_path / "b", figures, {**later, "seed": range(5)}, at=LATER)
    words = words_of(compare(read_results([first, second])).commands[0])
    variants = next(word for word in words if word.startswith("hydra.sweeper.variants="))
    assert variants.count("optimizer: ") == 3
    assert "nadam" in variants


@pytest.mark.parametrize(
    ("repeated", "fresh", "kept"),
    [
        ({"seed": range(3)}, "seed=range(100,110)", set()),
        ({"seed": range(3), SPLIT: [7]}, "seed=range(100,110)", {f"{SPLIT}=7"}),
        ({SPLIT: range(3), "seed": [4]}, f"{SPLIT}=range(100,110)", {"seed=4"}),
        ({SPLIT: [FOLLOWS], "seed": range(3)}, "seed=range(100,110)", {f"{SPLIT}={FOLLOWS}"}),
    ],
)
def test_a_shortlist_is_confirmed_as_it_was_chosen(
    repeated: Mapping[str, Sequence[Any]], fresh: str, kept: set[str], tmp_path: Path
) -> None:
    """On fresh splits, if it was chosen on several, else on the same one."""
    folder = sweep(tmp_path / "s", figures, {"optimizer.lr": range(1, 9), **repeated})
    found = compare(read_results([folder]))
    assert len(found.shortlist) == 4
    assert {fresh, *kept} <= words_of(found.commands[0])


def test_different_data_sets_have_no_best_one(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "s", figures, {"data": [*"abcdefgh"], "seed": range(3)})
    found = compare(read_results([folder]), ["data"])
    assert (found.shortlist, found.commands) == ([], [])
    assert "figures of different data (data) cannot be compared" in found.notes[0]


def test_variants_have_names_of_their_own(tmp_path: Path) -> None:
    first = sweep(tmp_path / "a", figures, {"x": [1, 2], "seed": range(3)})
    second = sweep(tmp_path / "b", figures, {"y": [1, 2], "seed": range(3)}, at=LATER)
    words = shlex.split(compare(read_results([first, second])).commands[0])
    assert words[2] == "hydra.sweeper.variants={1: {x: 1}, 2: {x: 2}, 1_2: {y: 1}, 2_3: {y: 2}}"
