#!/usr/bin/env bash
# scikit-learn 1.9.1: MinMaxScaler, MaxAbsScaler and RobustScaler leave a column in small units as it is, and
# QuantileTransformer to a normal distribution makes one number of it; StandardScaler scales it.
#
# Guess before the run: each scales charges to the same numbers, in elementary charges and in coulomb.
# Seen: a range below 10 eps = 2.2e-15 counts as zero, whatever the column's size is, and is divided by 1: particle masses in
# kg and charges in coulomb stay near 1e-27 and 1e-19, without a warning, and a network never sees them. StandardScaler
# compares the variance with the rounding error of the mean instead. QuantileTransformer counts what is within 1e-7 of the
# smallest value as the smallest, so all of a column whose range is smaller becomes -5.2; and from 2**30 on,
# where 1e-7 is rounded away, equal largest values are no longer the largest: a capped revenue in dollars gets another number
# than in thousands.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.9.1
"$folder/venv/bin/python" -W error - <<'PY'
import numpy as np
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, QuantileTransformer, RobustScaler
from sklearn.preprocessing import StandardScaler

charge = np.array([[1.0], [2], [3], [6]])  # in units of the elementary charge
for scaler in (StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler()):
    ours, si = (scaler.fit_transform(charge * unit).ravel() for unit in (1, 1.602176634e-19))
    same = np.allclose(ours, si)
    print(f"{type(scaler).__name__:15} e: {ours.round(3)}  coulomb: {si}  same: {same}")
    assert same == isinstance(scaler, StandardScaler)
    assert same or np.abs(si).max() < 1e-17
normal = QuantileTransformer(n_quantiles=4, output_distribution="normal")
ours, si = (normal.fit_transform(charge * unit).ravel() for unit in (1, 1.602176634e-19))
print(f"QuantileTransformer e: {ours.round(3)}  coulomb: {si.round(3)}")
capped = np.array([[1e8], [5e8], [9e8], [2e9], [2e9], [2e9]])
normal6 = QuantileTransformer(n_quantiles=6, output_distribution="normal")
dollars, thousands = (normal6.fit_transform(capped * unit)[-1, 0] for unit in (1, 1e-3))
print(f"QuantileTransformer, the cap in dollars: {dollars:.3f}, in thousands: {thousands:.3f}")
assert (dollars.round(3), thousands.round(3)) == (0.842, 5.199)
assert ours.round(3).tolist() == [-5.199, -0.431, 0.431, 5.199] and si.round(3).tolist() == [-5.199] * 4
PY
