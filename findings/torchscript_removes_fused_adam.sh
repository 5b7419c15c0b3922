#!/usr/bin/env bash
# PyTorch 2.13.0: TorchScript's dead-code elimination removes torch._fused_adam_, which writes into its arguments.
#
# Guess before the run: an operation whose schema says that it changes its arguments is never dead code.
# Seen: compiled, the function is empty (its graph is a lone "return None") and the weights stay; the same line of Python
# moves them. So a training step that is compiled loses its optimizer, then its backward pass, without a word.
# torch._foreach_add_, which changes lists of tensors in the same way, is kept.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0
"$folder/venv/bin/python" -W ignore - <<'PY'
import torch

LINES = {
    "_fused_adam_": "torch._fused_adam_([w], [g], [m], [v], [], [s], lr=0.1, beta1=0.9, beta2=0.999, "
    "weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False)",
    "_foreach_add_": "torch._foreach_add_([w], [g])",
}


def moved(line, compiled):
    source = f"def step(w: Tensor, g: Tensor, m: Tensor, v: Tensor, s: Tensor):\n    {line}\n"
    if compiled:
        step = torch.jit.CompilationUnit(source).step
    else:
        names = {"Tensor": torch.Tensor, "torch": torch}
        exec(source, names)
        step = names["step"]
    w, g, m, v, s = torch.zeros(3), torch.ones(3), torch.zeros(3), torch.zeros(3), torch.ones(1)
    step(w, g, m, v, s)
    return bool(w.any())


for name, line in LINES.items():
    print(f"{name:14} moves the weights: Python {moved(line, False)}, TorchScript {moved(line, True)}")
assert moved(LINES["_fused_adam_"], False) and not moved(LINES["_fused_adam_"], True)
assert moved(LINES["_foreach_add_"], False) and moved(LINES["_foreach_add_"], True)
PY
