#!/usr/bin/env bash
# PyTorch 2.13.0: TorchScript's dead-code elimination removes operations that write into a list of tensors, if the list
# is made inside of the function: torch._fused_adam_([w], …), torch._foreach_add_([w], …).
#
# Guess before the run: an operation whose schema says that it changes its arguments is never dead code. A second guess,
# that only the fused optimizers are removed, was wrong, too.
# Seen: such a function is compiled to a lone "return None" and the weights stay; the same line of Python moves them. So a
# compiled training step loses its optimizer, then its backward pass, without a word. w.add_(g), and the same operations
# with lists that are arguments of the function, are kept.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0
"$folder/venv/bin/python" -W ignore - <<'PY'
import torch

ADAM = "lr=0.1, beta1=0.9, beta2=0.999, weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False"


def moved(line, kind):
    """Whether the compiled line moves the weights; its arguments are of that kind."""
    arguments = ", ".join(f"{name}: {kind}" for name in "wgmvs")
    step = torch.jit.CompilationUnit(f"def step({arguments}):\n    {line}\n").step
    tensors = torch.zeros(3), torch.ones(3), torch.zeros(3), torch.zeros(3), torch.ones(1)
    step(*([tensor] if kind == "List[Tensor]" else tensor for tensor in tensors))
    return bool(tensors[0].any())


cases = {
    ("Tensor", f"torch._fused_adam_([w], [g], [m], [v], [], [s], {ADAM})"): False,
    ("List[Tensor]", f"torch._fused_adam_(w, g, m, v, [], s, {ADAM})"): True,
    ("Tensor", "torch._foreach_add_([w], [g])"): False,
    ("List[Tensor]", "torch._foreach_add_(w, g)"): True,
    ("Tensor", "w.add_(g)"): True,
}
for (kind, line), expected in cases.items():
    print(f"{'moves' if moved(line, kind) else 'stays'}  {kind:12}  {line[:48]}")
    assert moved(line, kind) == expected
PY
