"""Errors caused by the user's input, and suggestions for misspelled words."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable


class UsageError(Exception):
    """An error in the user's input; its text is the one line that the user reads."""


class CellError(UsageError):
    """An error about the cells of one column of a file, ``column``."""

    def __init__(self, text: str, column: str) -> None:
        super().__init__(text)
        self.column = column


class NoFeature(CellError):
    """A column that can be no feature as it is; ``why`` says what it has, in a few words."""

    def __init__(self, text: str, column: str, why: str) -> None:
        super().__init__(text, column)
        self.why = why


def refuse_remote(path: str, key: str = "") -> None:
    """Raise UsageError for an address where the path of a file is expected; ``key`` is what the
    message begins with."""
    if re.match(r"[a-z0-9]+://", path, re.IGNORECASE):
        raise UsageError(
            f"{key}{path}: exprun reads files on the disk; fetch it first: "
            f"curl -LO {shlex.quote(path)}"
        )


ALSO_CALLED = {
    "gpu": "cuda",
    "mnist": "idx",
    "fashion_mnist": "idx",
    "california_housing": "openml",
    "tsv": "csv",
    "feather": "arrow",
    "excel": "xlsx",
    "weka": "arff",
    "pq": "parquet",
    "numpy": "npz",
    "kaiming": "he",
    "glorot": "xavier",
    "nag": "nesterov",
    "ema": "momentum",
    "swish": "silu",
    "cosine_annealing": "cosine",
    "reduce_on_plateau": "plateau",
    "batch_norm": "batch",
    "layer_norm": "layer",
    "ridge": "l2",
    "lasso": "l1",
    "bayes": "tpe",
    "bayesian": "tpe",
    "optuna": "tpe",
    "asha": "halving",
    "successive_halving": "halving",
}
"""Other common names of options and values, with exprun's names."""


def nearest(wrong: str, right: Iterable[str]) -> str:
    """The hint ``"; did you mean X?"``, or ``""``: X is the word that ``wrong`` is another name
    of, the only one of ``right`` that begins with it or has it after a ``_``, or the most similar
    one."""
    lowered = {word.lower(): word for word in right}
    if (meant := ALSO_CALLED.get(wrong.lower())) in lowered:
        return f"; did you mean {meant}?"
    begins = [word for word in lowered if word.startswith(wrong.lower())]
    ends = [word for word in lowered if word.endswith(f"_{wrong.lower()}")]
    for longer in (begins, ends) if wrong else ():
        if len(longer) == 1:
            return f"; did you mean {lowered[longer[0]]}?"
    close = difflib.get_close_matches(wrong.lower(), list(lowered), n=1, cutoff=0.6)
    return f"; did you mean {lowered[close[0]]}?" if close else ""


def choices(right: Iterable[str]) -> str:
    """The allowed words as listed in an error message: ``a, b or c``."""
    words = list(right)
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def list_override(key: str, names: Iterable[str]) -> str:
    """A list override as typed into a shell, ``'data.drop=[id,name]'``: to shells brackets are a
    pattern of file names, which zsh refuses if there is no such file."""
    plain = r"(?!(null|true|false|inf|nan)$)[A-Za-z_][A-Za-z0-9_]*|0|[1-9][0-9]*"
    items = list(names)
    if not all(re.fullmatch(plain, item) for item in items):
        items = ['"{}"'.format(item.replace('"', '\\"')) for item in items]
    return shlex.quote(f"{key}=[{','.join(items)}]")
