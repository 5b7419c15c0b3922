#!/usr/bin/env bash
# hydra-core 1.3.8 ignores a preset's "override /group: x" without a word where the primary config overrides that group, too.
#
# Guess before the run: a preset that comes later in the defaults list wins, as it does against a group that the primary config
# merely chooses ("- db: mysql"); or Hydra calls two overrides of one group ambiguous, as it does with two choices of it.
# Seen: of "override hydra/job_logging: none" in the primary config and "override /hydra/job_logging: disabled" in the preset
# after it, the primary's counts, and nothing is said. The same preset wins where the primary only chooses. So a preset cannot
# choose the sweeper of an application whose primary config has its own: groups of hydra can be chosen there in no other way
# than by an override. What the command line chooses wins in all cases.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/conf/db" "$folder/conf/preset"
echo "driver: mysql" > "$folder/conf/db/mysql.yaml"
echo "driver: sqlite" > "$folder/conf/db/sqlite.yaml"
printf 'defaults:\n  - db: mysql\n  - preset: null\n  - _self_\n' > "$folder/conf/chooses.yaml"
printf 'defaults:\n  - db: mysql\n  - preset: null\n  - _self_\n  - override hydra/job_logging: none\n' > "$folder/conf/overrides.yaml"
printf '# @package _global_\ndefaults:\n  - override /db: sqlite\n  - override /hydra/job_logging: disabled\n' > "$folder/conf/preset/mine.yaml"
cat > "$folder/compose.py" <<'PY'
import sys

import hydra
from hydra import compose, initialize_config_dir

print("hydra-core", hydra.__version__)
found = {}
with initialize_config_dir(sys.argv[1], version_base="1.3"):
    for primary in ("chooses", "overrides"):
        for more in ([], ["hydra/job_logging=stdout"]):
            config = compose(primary, ["preset=mine", *more], return_hydra_config=True)
            chosen = config.hydra.runtime.choices
            found[primary, bool(more)] = chosen["db"], chosen["hydra/job_logging"]
            print(f"{primary:10} {' '.join(more):25} db={chosen['db']} hydra/job_logging={chosen['hydra/job_logging']}")
assert found == {
    ("chooses", False): ("sqlite", "disabled"),
    ("chooses", True): ("sqlite", "stdout"),
    ("overrides", False): ("sqlite", "none"),
    ("overrides", True): ("sqlite", "stdout"),
}, found
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install hydra-core==1.3.8 omegaconf==2.3.0 2>&1 | grep -v WARNING || true
"$folder/venv/bin/python" "$folder/compose.py" "$folder/conf"
