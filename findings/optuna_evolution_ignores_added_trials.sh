#!/usr/bin/env bash
# Optuna 5.0.0: NSGA-II and CMA-ES learn nothing from trials that were added to a study, and do not say so.
#
# Guess before the run: `study.add_trial(create_trial(...))`, the documented way to tell a study of results from elsewhere, tells every
# sampler. TPE does ask nearer to the best of them.
# Seen: 100 added trials with the optimum at (3, 3), or the same 100 points with the optimum at (-3, -3): NSGA-II (population_size=10) and
# CMA-ES ask for the same 40 points, bit by bit. Both keep their state in attributes of the trials that they have asked for themselves; added ones have none. For CMA-ES
# `source_trials=` does tell it; for NSGA-II trials need the attribute "NSGAIISampler:generation".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check optuna==5.0.0 cmaes==0.13.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import warnings

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.samplers import CmaEsSampler, NSGAIISampler, TPESampler
from optuna.trial import create_trial

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")
space = {"x": FloatDistribution(-5, 5), "y": FloatDistribution(-5, 5)}
points = np.random.default_rng(0).uniform(-5, 5, (100, 2))


def results(optimum):
    return [
        create_trial(
            params={"x": x, "y": y},
            distributions=space,
            value=(x - optimum) ** 2 + (y - optimum) ** 2,
        )
        for x, y in points.tolist()
    ]


def asked(sampler, trials):
    study = optuna.create_study(sampler=sampler)
    study.add_trials(trials)
    return np.array([[t.params["x"], t.params["y"]] for t in (study.ask(space) for _ in range(40))])


def distance(found):
    return np.linalg.norm(found - 3, axis=1).mean()


samplers = {
    "TPE": lambda: TPESampler(seed=1),
    "CMA-ES": lambda: CmaEsSampler(seed=1),
    "NSGA-II": lambda: NSGAIISampler(seed=1, population_size=10),
}
equal = {}
for name, make in samplers.items():
    here, there = asked(make(), results(3)), asked(make(), results(-3))
    equal[name] = np.array_equal(here, there)
    print(f"{name:8} mean distance from the optimum {distance(here):.2f}; same points for the other: {equal[name]}")
assert equal == {"TPE": False, "CMA-ES": True, "NSGA-II": True}

warm = distance(asked(CmaEsSampler(seed=1, source_trials=results(3)), results(3)))
trials = results(3)
for trial in trials:
    trial.system_attrs = {"NSGAIISampler:generation": 0}
parents = distance(asked(samplers["NSGA-II"](), trials))
print(f"CMA-ES with source_trials {warm:.2f}, NSGA-II with the attribute {parents:.2f}")
assert warm < 2 and parents < 4.5
PY
