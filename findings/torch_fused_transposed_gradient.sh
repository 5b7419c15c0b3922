#!/usr/bin/env bash
# torch 2.13.0: fused optimizers on a CPU take the gradient in the order of its memory, not by its indices.
#
# Guess before the run: fused=True takes the same step as fused=False, or raises for a gradient of other strides than its
# parameter (the CUDA kernels say "must have same dtype, device, and layout").
# Seen: on a CPU neither. A gradient with transposed strides (torch.autograd.grad gives one for the weights of
# torch.baddbmm(b, x, w.mT)) is added to the wrong elements by SGD, Adam, AdamW and Adagrad, without a word; backward()
# is safe, for it lays .grad out as the parameter. Assign only contiguous gradients to .grad.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0
"$folder/venv/bin/python" - <<'PY'
import torch

x = torch.arange(12.0).view(1, 4, 3)
target = torch.arange(8.0).view(1, 4, 2)


def step(name, fused, contiguous):
    """The change of weights (1, 2, 3) in one step."""
    w = torch.nn.Parameter(torch.full((1, 2, 3), 0.1))
    z = torch.baddbmm(torch.zeros(1, 1, 2), x, w.mT)
    (gradient,) = torch.autograd.grad(((z - target) * target).sum(), w)
    assert gradient.shape == w.shape and gradient.stride() != w.stride()
    w.grad = gradient.contiguous() if contiguous else gradient
    options = {"lr": 0.01} if name == "SGD" else {"lr": 0.01, "eps": 100.0}
    getattr(torch.optim, name)([w], fused=fused, **options).step()
    return w.detach() - 0.1


for name in ("SGD", "Adam", "AdamW", "Adagrad"):
    expected = step(name, fused=False, contiguous=False)
    same = torch.allclose(step(name, fused=True, contiguous=True), expected, rtol=1e-4)
    transposed = step(name, fused=True, contiguous=False)
    print(name, expected.flatten().tolist(), "fused", transposed.flatten().tolist())
    assert same
    assert not torch.allclose(transposed, expected, rtol=1e-4)
PY
