#!/usr/bin/env bash
# safetensors 0.8.0: with two or more metadata keys, equal tensors and metadata are not equal files.
#
# Guess before the run: the same bytes in every process; the header is JSON written from an ordered dict.
# Seen: the order of the metadata keys in the header changes from process to process, so the SHA-256 of a saved model is
# no check of its content. With a single key (a JSON text that holds the others, say) the bytes are equal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 safetensors==0.8.0
hashes() { # of twelve processes that save the same, with the metadata given
    for _ in $(seq 12); do
        "$folder/venv/bin/python" -c "
import hashlib, numpy as np
from safetensors.numpy import save
print(hashlib.sha256(save({'w': np.zeros(3, np.float32)}, metadata=$1)).hexdigest())"
    done | sort -u | wc -l
}
one=$(hashes "{'a': '1'}")
four=$(hashes "{'a': '1', 'b': '2', 'c': '3', 'd': '4'}")
echo "different files of twelve: $one with one key, $four with four keys"
test "$one" = 1
test "$four" -gt 1
