"""Data sets of openml.org, downloaded by scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from exprun.common.errors import UsageError
from exprun.data.builder import BadCell, check_size
from exprun.data.column_roles import Choice, Column
from exprun.data.frame import CATEGORICAL, NUMERIC, Frame, Words
from exprun.data.read_options import AUTO, LABEL, Reading
from exprun.data.table import Table
from exprun.data.tabular import table


def openml(
    dataset: str | int,
    version: str | int = "active",
    target: Column | Sequence[Column] | None = None,
    **roles: Any,
) -> Table:
    """The data set of that name or number. ``target`` defaults to that of OpenML; for the other
    ``roles`` see ``column_roles.Choice``. Nothing is stored on the disk. Raises UsageError if it
    cannot be downloaded."""
    source = OpenmlSet(dataset, version)
    if target is None and source.target is None:
        raise UsageError(f"{source.path}: OpenML names no target for it; expected data.target=…")
    wanted = source.target if target is None else target
    assert wanted is not None
    return table([source], Choice(wanted, **roles))


class OpenmlSet:
    """A downloaded data set as a source of columns; ``target`` is OpenML's default target."""

    index: tuple[str, ...] = ()

    def __init__(self, dataset: str | int, version: str | int) -> None:
        from sklearn.datasets import fetch_openml

        self.path = f"openml {dataset}"
        self.reading, self.note = Reading(), ""
        number = str(dataset).isdigit()
        which = {"data_id": int(dataset)} if number else {"name": dataset, "version": version}
        try:
            with warnings.catch_warnings(action="ignore"):  # errors are raised as well
                fetched: Any = fetch_openml(
                    **which,
                    target_column=None,
                    cache=False,  # write nothing outside of the output folder
                    as_frame=False,
                    parser="liac-arff",
                    n_retries=1,
                    delay=0.1,
                )
        except ValueError as error:
            raise UsageError(f"{self.path}: {str(error).splitlines()[0]}") from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise UsageError(
                f"{self.path}: openml.org cannot be reached ({reason}); without internet, fetch "
                "the set as a CSV file elsewhere and use data=csv data.path=… data.target=…"
            ) from None
        if not isinstance(fetched.data, np.ndarray):
            raise UsageError(f"{self.path}: is a sparse set; expected a dense one")
        self.data, self.names = fetched.data, [str(name) for name in fetched.feature_names]
        self.categories: Mapping[str, Sequence[str]] = fetched.categories or {}
        said = fetched.details.get("default_target_attribute")
        self.target = str(said) if said in self.names else None

    def missing_hint(self, name: str) -> str:
        return ""

    def where(self, row: int) -> str:
        return f"{self.path}: row {row + 1}"

    def read(self, wanted: Mapping[str, str]) -> Frame:
        """See ``CsvFile.read``; nominal attributes are categorical."""
        numeric, categorical = [], {}
        for name, kind in wanted.items():
            column = self.data[:, self.names.index(name)]
            nominal = name in self.categories
            if nominal and kind == NUMERIC:
                raise UsageError(f"{self.path}: column {name!r} is nominal; expected numbers")
            if nominal or kind == CATEGORICAL:
                categorical[name] = self._words(name, column)
            elif kind in (AUTO, NUMERIC, LABEL):
                numeric.append(self.names.index(name))
        numbers = self.data[:, numeric].astype(np.float64)
        for place, number in enumerate(numeric):
            try:
                check_size(numbers[:, place], self.names[number])
            except BadCell as cell:
                where = self.where(cell.row)
                raise UsageError(f"{where}, column {cell.column!r}: {cell}") from None
        return Frame(tuple(wanted), numbers, categorical)

    def _words(self, name: str, column: Any) -> Words:
        numbers = column.astype(np.float64)
        distinct, codes = np.unique(numbers, return_inverse=True)
        known = self.categories.get(name)
        words = [str(known[int(k)]) if known else f"{k:g}" for k in distinct[~np.isnan(distinct)]]
        lookup = np.arange(len(distinct), dtype=np.int32)
        lookup[np.isnan(distinct)] = -1
        return Words(lookup[codes], tuple(words))
