"""Small real data sets, read from the files that scikit-learn includes.

The files are read directly, because importing scikit-learn would take longer than training on them.
"""

from __future__ import annotations

import gzip
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exprun.data.frame import Frame
from exprun.data.table import Table
from exprun.data.task import Task


def _path(name: str) -> Path:
    return Path(str(distribution("scikit-learn").locate_file(f"sklearn/datasets/data/{name}")))


def _numbers(name: str, delimiter: str | None = ",") -> NDArray[np.float64]:
    """The numbers of a gzip'd text file without a header."""
    with gzip.open(_path(name), "rt") as lines:
        return np.loadtxt(lines, delimiter=delimiter)


def _labelled(name: str, file: str, features: tuple[str, ...]) -> Table:
    """A CSV file whose first line is: rows, features, the class names in order."""
    with _path(file).open() as lines:
        classes = tuple(next(lines).strip().split(",")[2:])
        values = np.loadtxt(lines, delimiter=",")
    task = Task(("class",), classes)
    return Table(name, Frame(features, values[:, :-1]), values[:, -1].astype(np.int64), task)


def digits() -> Table:
    """1797 images of handwritten digits, 8x8 pixels of 0…16 (UCI Optical Recognition)."""
    values = _numbers("digits.csv.gz")
    features = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
    task = Task(("digit",), tuple("0123456789"))
    return Table("digits", Frame(features, values[:, :-1]), values[:, -1].astype(np.int64), task)


def iris() -> Table:
    """150 flowers of 3 species, 4 lengths in cm (Fisher 1936)."""
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    return _labelled("iris", "iris.csv", names)


def wine() -> Table:
    """178 wines of 3 growers, 13 chemical measurements (UCI Wine)."""
    names = (
        "alcohol malic_acid ash alcalinity_of_ash magnesium total_phenols flavanoids "
        "nonflavanoid_phenols proanthocyanins color_intensity hue od280_od315 proline"
    )
    return _labelled("wine", "wine_data.csv", tuple(names.split()))


def breast_cancer() -> Table:
    """569 tumours, 30 measurements of cell nuclei, malignant or benign (UCI Wisconsin)."""
    measures = (
        "radius texture perimeter area smoothness compactness concavity concave_points "
        "symmetry fractal_dimension"
    )
    names = tuple(f"{stat}_{m}" for stat in ("mean", "error", "worst") for m in measures.split())
    return _labelled("breast_cancer", "breast_cancer.csv", names)


def diabetes() -> Table:
    """442 patients, 10 measurements, disease progression after a year (Efron et al. 2004)."""
    x = _numbers("diabetes_data_raw.csv.gz", delimiter=None)
    y = _numbers("diabetes_target.csv.gz")
    names = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
    return Table("diabetes", Frame(names, x), y[:, None], Task(("progression",)))
