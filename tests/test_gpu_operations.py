"""exprun asks torch for repeatable kernels on a GPU (``build.choose_device``), and torch raises
where it has none. A run must do without these operations, from its first batch to its last file;
that is checked here on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from exprun.common.constants import COMPLETED
from exprun.config.compose import compose_run
from exprun.config.hydra_files import hydra_files, write_hydra_files
from exprun.config.schema import plain
from exprun.run import run
from exprun.run_folder import stored_job
from tests.engine.trainings import OPTIMIZERS

Refused = Callable[..., bool]


def of_numbers(x: torch.Tensor, *_: object, **__: object) -> bool:
    return x.is_floating_point()


REFUSED: dict[str, Refused] = {
    "aten::bincount": lambda x, weights=None, *_, **__: weights is not None,
    "aten::nll_loss2d_forward": lambda x, y, weight, reduction, *_, **__: reduction != 0,
    "aten::cumsum": of_numbers,
    "aten::histc": of_numbers,
    "aten::kthvalue": lambda *_, **__: True,
    "aten::median.dim": lambda *_, **__: True,
    "aten::put_": lambda x, index, source, accumulate=False: not accumulate,
    "aten::scatter_reduce": lambda *_, **__: True,
}
"""``torch.use_deterministic_algorithms``: what raises on CUDA tensors, of operations on tables of
numbers, and with which arguments."""


class OnlyRepeatable(TorchDispatchMode):
    """Raises as a GPU would."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        keywords = kwargs or {}
        for name in (func._schema.name, func.name()):
            if name in REFUSED and REFUSED[name](*args, **keywords):
                raise AssertionError(f"{name} has no deterministic implementation on a GPU")
        return func(*args, **keywords)


@pytest.mark.parametrize(
    "words",
    [
        *([f"optimizer={name}"] for name in [*OPTIMIZERS, "lbfgs"]),
        *([f"norm={name}", "averaging=ema"] for name in ("batch", "layer")),
        ["reg=[l1,l2,dropout,max_norm,label_smoothing]", "diagnostics=full"],
        ["data=breast_cancer", "loss=bce", "loss.class_weight=balanced"],
        ["data=diabetes", "loss=huber"],
        ["stopping=early", "stopping.monitor=val_roc_auc"],
    ],
    ids=" ".join,
)
def test_a_run(words: list[str], tmp_path: Path) -> None:
    assert repeatable(tmp_path, "data=iris", *words) == COMPLETED


@pytest.mark.parametrize("labels", ["ab", "abc"])
def test_a_run_of_weighted_rows(labels: str, tmp_path: Path) -> None:
    rows = [f"{i % 7},{i % 5},{labels[i % len(labels)]},{1 + i % 2}" for i in range(100)]
    (tmp_path / "rows.csv").write_text("\n".join(["u,v,label,weight", *rows]))
    words = [f"data.path={tmp_path / 'rows.csv'}", "data.target=label", "data.weight=weight"]
    assert repeatable(tmp_path / "run", "data=csv", *words) == COMPLETED


def repeatable(folder: Path, *words: str) -> str:
    """The status of a run of two epochs by torch's operations, those of a GPU."""
    usual = ["model.hidden=[8]", "trainer.max_epochs=2", "trainer.engine=plain", "device=cpu"]
    config = compose_run([*words, *usual], None)
    write_hydra_files(folder, hydra_files(config, plain(config)))
    with OnlyRepeatable():
        result = run(stored_job(folder, trust=False, in_sweep=False))
    assert result["status"] == COMPLETED, result["reason"]
    return str(result["status"])


@pytest.mark.parametrize(
    "fault",
    [
        lambda: torch.bincount(torch.ones(3, dtype=torch.int64), torch.ones(3)),
        lambda: torch.nn.functional.cross_entropy(
            torch.ones(1, 2, 3), torch.ones(1, 3, dtype=torch.int64)
        ),
        lambda: torch.ones(3).cumsum(0),
        lambda: torch.ones(3).median(0),
    ],
    ids=["bincount", "nll_loss2d", "cumsum", "median"],
)
def test_what_is_looked_for_is_found(fault: Callable[[], object]) -> None:
    with OnlyRepeatable(), pytest.raises(AssertionError, match="no deterministic"):
        fault()
