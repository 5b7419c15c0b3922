#!/usr/bin/env bash
# scikit-learn 1.9.1: MinMaxScaler, MaxAbsScaler and RobustScaler leave a column in small units as it is; StandardScaler scales it.
#
# Guess before the run: each scales charges to the same numbers, in elementary charges and in coulomb.
# Seen: a range below 10 eps = 2.2e-15 counts as zero, whatever the column's size is, and is divided by 1: particle masses in
# kg and charges in coulomb stay near 1e-27 and 1e-19, without a warning, and a network never sees them. StandardScaler
# compares the variance with the rounding error of the mean instead.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.9.1
"$folder/venv/bin/python" -W error - <<'PY'
import numpy as np
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

charge = np.array([[1.0], [2], [3], [6]])  # in units of the elementary charge
for scaler in (StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler()):
    ours, si = (scaler.fit_transform(charge * unit).ravel() for unit in (1, 1.602176634e-19))
    same = np.allclose(ours, si)
    print(f"{type(scaler).__name__:15} e: {ours.round(3)}  coulomb: {si}  same: {same}")
    assert same == isinstance(scaler, StandardScaler)
    assert same or np.abs(si).max() < 1e-17
PY
