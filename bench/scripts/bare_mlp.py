"""The least that trains a multilayer perceptron on the digits with PyTorch and writes its curve: no
scikit-learn, DataLoader, optimizer class or TensorBoard. A lower bound for what starts torch."""

import csv
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy, dropout, relu

torch.manual_seed(0)
path = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
values = torch.from_numpy(np.loadtxt(path, delimiter=",", dtype=np.float32))
x, y = values[:, :-1] / 16, values[:, -1].long()
train, val, test = torch.randperm(len(x)).split([1257, 270, 270])

sizes = (64, 256, 128, 10)
weights = []
for inputs, outputs in zip(sizes, sizes[1:]):  # noqa: B905, RUF007
    weights += [torch.randn(inputs, outputs) * (2 / inputs) ** 0.5, torch.zeros(outputs)]
for w in weights:
    w.requires_grad_()
first, second = ([torch.zeros_like(w) for w in weights] for _ in range(2))


def network(x: torch.Tensor, p: float = 0.0) -> torch.Tensor:
    w1, b1, w2, b2, w3, b3 = weights
    x = dropout(relu(torch.addmm(b1, x, w1)), p)
    x = dropout(relu(torch.addmm(b2, x, w2)), p)
    return torch.addmm(b3, x, w3)


def adam(iteration: int, lr: float = 0.001) -> None:
    bias1, bias2 = 1 - 0.9**iteration, 1 - 0.999**iteration
    for w, m, v in zip(weights, first, second, strict=True):
        m.lerp_(w.grad, 0.1)
        v.lerp_(w.grad.square(), 0.001)
        w.addcdiv_(m, (v / bias2).sqrt_().add_(1e-8), value=-lr / bias1)
        w.grad = None


iteration = 0
with Path("metrics.csv").open("w", newline="") as file:
    curve = csv.writer(file)
    for epoch in range(20):
        for rows in train[torch.randperm(len(train))].split(32):
            cross_entropy(network(x[rows], 0.2), y[rows]).backward()
            iteration += 1
            with torch.no_grad():
                adam(iteration)
        with torch.no_grad():
            outputs = network(x[val])
            correct = (outputs.argmax(dim=1) == y[val]).float().mean()
            curve.writerow([epoch + 1, cross_entropy(outputs, y[val]).item(), correct.item()])
with torch.no_grad():
    print(f"test accuracy {(network(x[test]).argmax(dim=1) == y[test]).float().mean():.4f}")
