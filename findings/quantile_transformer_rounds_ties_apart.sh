#!/usr/bin/env bash
# scikit-learn 1.9.1: QuantileTransformer to a normal distribution maps the middle of a symmetric column to .21, not to 0.
#
# Guess before the run: 0. With as many quantiles as rows (the case of every set below 1000 rows) they are the sorted
# values, the middle value is five equal ones of seven, and a tie gets the mean of its first and last probability.
# Seen: quantiles are interpolated percentiles even then; 100 * k / (n - 1) rounds, so one of the five is lower by a bit,
# the tie begins a place later, and its mean moves by half a place. So for 570 of the sizes from 3 to 1000. A column
# whose gaps were filled with its median has such a tie. To sort the column instead gives 0 for all sizes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.9.1
"$folder/venv/bin/python" - <<'PY'
import numpy as np
from sklearn.preprocessing import QuantileTransformer


def middle(column, sort=False):
    made = QuantileTransformer(n_quantiles=len(column), output_distribution="normal")
    made.fit(column[:, None])
    if sort:
        made.quantiles_ = np.sort(column)[:, None]
    return made.transform([[column.mean()]])[0, 0], made.quantiles_


seven = np.array([0, 0.5, 0.5, 0.5, 0.5, 0.5, 1])
found, quantiles = middle(seven)
print(f"7 rows: {found:.6f}; quantiles - sorted column: {(quantiles.ravel() - seven).tolist()}")
symmetric = [np.repeat([0.0, 1, 2], [n // 3, n - 2 * (n // 3), n // 3]) for n in range(3, 1001)]
moved = [abs(middle(column)[0]) > 1e-9 for column in symmetric]
sorted_ = [abs(middle(column, sort=True)[0]) > 1e-9 for column in symmetric]
print(f"middle of {sum(moved)} of {len(moved)} symmetric columns is not 0; sorted: {sum(sorted_)}")
assert round(found, 6) == 0.210428 and sum(moved) == 570 and not any(sorted_)
PY
