#!/usr/bin/env bash
# triton 3.9.0, which torch 2.15.0 for CUDA brings: after gc.freeze() every program ends with dozens of lines on stderr
# about instances, types and functions that are said to be leaked.
#
# Guess before the run: gc.freeze() at the end of a program, which saves the last garbage collection, changes nothing that
# a user sees; the documentation recommends it only before a fork, but nothing warns of it.
# Seen: triton's bindings (nanobind) count at exit what has not been freed, and frozen cycles are not. torch imports triton
# for a few optimizers and schedulers only, so it depends on the options of a program whether it prints anything.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check triton==3.9.0
ends() { "$folder/venv/bin/python" -c "$1" 2>&1; }
plain=$(ends 'import gc, triton')
frozen=$(ends 'import gc, triton; gc.freeze()')
thawed=$(ends 'import gc, triton; gc.freeze(); gc.unfreeze()')
echo "plain: ${#plain} characters, frozen: $(wc -l <<< "$frozen") lines, unfrozen again: ${#thawed} characters"
head -2 <<< "$frozen"
[[ -z $plain && -z $thawed && $frozen == "nanobind: leaked "*" instances!"* ]]
