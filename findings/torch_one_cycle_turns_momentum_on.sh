#!/usr/bin/env bash
# PyTorch 2.13.0: OneCycleLR turns momentum on in an SGD or RMSprop that was built with momentum=0.
#
# Guess before the run: a schedule of the learning rate leaves plain SGD plain; with momentum 0 there is nothing to cycle.
# Seen: cycle_momentum is true by default and asks only whether the optimizer has the key, which SGD and RMSprop always
# have; their momentum is .95 from the first step on and cycles to .85, so "SGD with and without one cycle" compares two
# optimizers. cycle_momentum=False leaves it at 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0
"$folder/venv/bin/python" - <<'PY'
import torch
from torch.optim.lr_scheduler import OneCycleLR


def momenta(make, **options):
    optimizer = make([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = OneCycleLR(optimizer, max_lr=0.1, total_steps=10, **options)
    seen = [optimizer.param_groups[0]["momentum"]]
    for _ in range(9):
        optimizer.step()
        scheduler.step()
        seen.append(round(optimizer.param_groups[0]["momentum"], 3))
    return seen


for make in (torch.optim.SGD, torch.optim.RMSprop):
    assert make([torch.nn.Parameter(torch.zeros(1))], lr=0.1).param_groups[0]["momentum"] == 0
    cycled, fixed = momenta(make), momenta(make, cycle_momentum=False)
    print(make.__name__, "momentum 0 becomes", cycled)
    assert cycled[0] == 0.95 and min(cycled) == 0.85
    assert set(fixed) == {0}
PY
