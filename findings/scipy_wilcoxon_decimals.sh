#!/usr/bin/env bash
# SciPy 1.17.1: the exact Wilcoxon test of eight paired accuracies gives p = .047 for k/270 and .0625 for the counts k.
#
# Guess before the run: the same p, for both are the same numbers up to a factor, and scipy ranks |differences|.
# Seen: differences of equal counts differ in the last bits as decimals, so ties are ranked as if they were none; the
# statistic is 1.5 instead of 2.0 and the verdict at .05 turns over. Compare counts of rows, or round before the test.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PY'
import numpy as np
from scipy.stats import wilcoxon

right_a = np.array([260, 255, 256, 252, 254, 250, 254, 258])  # of 270 test rows
right_b = np.array([258, 253, 256, 251, 251, 249, 252, 259])
counts = wilcoxon(right_a, right_b)
decimals = wilcoxon(right_a / 270, right_b / 270)
print(f"counts   W {counts.statistic}  p {counts.pvalue}")
print(f"decimals W {decimals.statistic}  p {decimals.pvalue}")
assert (counts.statistic, counts.pvalue) == (2.0, 0.0625)
assert (decimals.statistic, decimals.pvalue) == (1.5, 0.046875)
PY
