"""The data sets of ``bench.search``, none of which was looked at while the rules of searches were
chosen (those were digits, wine, breast cancer, diabetes and iris).

    apt-get download r-cran-mlbench r-cran-kernlab
    for package in r-cran-*.deb; do dpkg -x $package unpacked; done
    pip install pyreadr
    python -m bench.search_data unpacked FOLDER

writes two files for each of them: rows in a random order, the first of them, at most 1500, to train
and validate on, at most 2000 of the others to test.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TRAIN_ROWS = 1500  # with those for validation
TEST_ROWS = 2000
TEST_SHARE = 0.4  # of the data sets that have fewer rows than both together

LIBRARY = Path("usr/lib/R/site-library")


@dataclass(frozen=True)
class Source:
    """An R package, and the column to predict of a data set in it."""

    package: str
    target: str


SOURCES = {
    "Satellite": Source("mlbench", "classes"),
    "spam": Source("kernlab", "type"),
    "LetterRecognition": Source("mlbench", "lettr"),
    "DNA": Source("mlbench", "Class"),
    "Vowel": Source("mlbench", "Class"),
    "Vehicle": Source("mlbench", "Class"),
}
"""By name. Vowel is split at random here, not by speakers."""


def write(frame: Any, target: str, name: str, folder: Path) -> None:
    """Write ``NAME.csv`` and ``NAME_test.csv``, with the target in the column ``y``."""
    frame = frame.rename(columns={target: "y"})
    order = np.random.default_rng(0).permutation(len(frame))
    train = min(TRAIN_ROWS, round(len(frame) * (1 - TEST_SHARE)))
    parts = {name: order[:train], f"{name}_test": order[train : train + TEST_ROWS]}
    for stem, rows in parts.items():
        frame.iloc[rows].to_csv(folder / f"{stem}.csv", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.search_data")
    parser.add_argument("unpacked", type=Path, help="where the Debian packages were unpacked to")
    parser.add_argument("folder", type=Path, help="for the files")
    options = parser.parse_args()
    from pyreadr import read_r

    options.folder.mkdir(parents=True, exist_ok=True)
    for name, source in SOURCES.items():
        path = options.unpacked / LIBRARY / source.package / "data" / f"{name}.rda"
        write(read_r(str(path))[name], source.target, name, options.folder)


if __name__ == "__main__":
    main()
