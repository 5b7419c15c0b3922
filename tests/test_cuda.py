"""What needs a GPU; skipped where there is none."""

from __future__ import annotations

import pytest
import torch

from exprun.fit.loop import fit
from tests.config.test_config import build

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def test_same_start_and_batches_as_on_the_cpu() -> None:
    on_gpu, on_cpu = build("device=auto"), build("device=cpu")
    assert on_gpu.device.type == "cuda"
    for name, weight in on_cpu.model.state_dict().items():
        assert torch.equal(weight, on_gpu.model.state_dict()[name].cpu())
    assert fit(on_gpu).status == fit(on_cpu).status
    assert on_gpu.kept_row["val_accuracy"] == pytest.approx(
        on_cpu.kept_row["val_accuracy"], abs=0.03
    )


@pytest.mark.parametrize(
    "override", ["optimizer=lbfgs", "norm=batch", "reg=[l1,l2,dropout,max_norm]", "batching=full"]
)
def test_same_seed_same_bits(override: str) -> None:
    first, second = (build(override, "device=cuda", "trainer.max_epochs=3") for _ in range(2))
    fit(first)
    fit(second)
    assert first.kept_row == second.kept_row
    for name, weight in first.kept.items():
        assert torch.equal(weight, second.kept[name])
