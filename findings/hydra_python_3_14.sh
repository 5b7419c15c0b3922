#!/usr/bin/env bash
# hydra-core 1.3.8: no program with hydra.main starts on Python 3.14. Needs python3.14.
#
# Guess before the run: the newest stable version, pure Python and without an upper bound on Python, runs there as on 3.13.
# Seen: every command line ends with "ValueError: badly formed help string". Python 3.14's argparse looks into the help of an
# argument when it is added, and Hydra's help of --shell-completion is an object that makes its text later. compose() works,
# so tests without a command line pass. hydra-core 1.4.0rc3 starts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/program.py" <<'PY'
import hydra


@hydra.main(version_base=None, config_path=None)
def main(config):
    print("started with", config)


if __name__ == "__main__":
    main()
PY
cat > "$folder/composed.py" <<'PY'
import hydra

with hydra.initialize(version_base=None, config_path=None):
    print("composed", hydra.compose(overrides=["+a=1"]))
PY
for version in 1.3.8 1.4.0rc3; do
  python3.14 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "hydra-core==$version"
  (cd "$folder" && "$folder/$version/bin/python" program.py +a=1) > "$folder/said" 2>&1 && code=0 || code=$?
  echo "hydra-core $version: exit code $code: $(tail -1 "$folder/said")"
  (cd "$folder" && "$folder/$version/bin/python" composed.py) | sed "s/^/hydra-core $version: /"
  case $version in
    1.3.8) [ "$code" = 1 ] && grep -q "badly formed help string" "$folder/said" ;;
    *) [ "$code" = 0 ] && grep -q "started with {'a': 1}" "$folder/said" ;;
  esac
done
