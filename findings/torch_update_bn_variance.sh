#!/usr/bin/env bash
# PyTorch 2.13.0: swa_utils.update_bn forgets the variance between batches and weighs a small last batch like the others.
#
# Guess before the run: after a pass over all rows the running mean and variance are those of the rows.
# Seen: they are plain averages of the batches' means and variances. On rows whose batches differ in mean (sorted rows,
# grouped files) the variance is a twelfth of the rows', and a last batch of 4 rows moves the mean as much as one of 32.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0
"$folder/venv/bin/python" - <<'PY'
import torch
from torch.optim.swa_utils import update_bn

x = torch.arange(100.0)[:, None]
batches = [(x[i : i + 32],) for i in range(0, 100, 32)]  # 32, 32, 32 and 4 rows
norm = torch.nn.BatchNorm1d(1)
update_bn(batches, torch.nn.Sequential(norm))
print(f"mean     {norm.running_mean.item():8.2f}  of the rows {x.mean().item():8.2f}")
print(f"variance {norm.running_var.item():8.2f}  of the rows {x.var().item():8.2f}")
each = [batch for (batch,) in batches]
assert torch.isclose(norm.running_mean, torch.stack([b.mean() for b in each]).mean())
assert torch.isclose(norm.running_var, torch.stack([b.var() for b in each]).mean())
assert norm.running_var.item() < x.var().item() / 10
assert abs(norm.running_mean.item() - x.mean().item()) > 10
PY
