"""What needs a GPU; skipped where there is none (``docs/gpu.md``)."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from exprun.fit.loop import fit
from exprun.record import checkpoint
from exprun.training.training import Training
from tests import conftest
from tests.command import Run
from tests.conftest import same_bits
from tests.engine.trainings import OPTIMIZERS, REGULARIZERS
from tests.fit import stacks

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")

built = partial(conftest.built, "device=cuda")
NORMS = ["none", "batch", "layer"]


def needs_fused_adagrad(words: list[str]) -> None:
    if "optimizer=adagrad" in words and torch.__version__ < "2.13":
        pytest.skip("torch before 2.13 has no fused Adagrad on a GPU: optimizer.fused=false")


def all_words() -> list[list[str]]:
    """Every optimizer, with regularizers and norms in turns, and what else differs."""
    turns = [
        [f"optimizer={name}", f"reg={REGULARIZERS[i % len(REGULARIZERS)]}", f"norm={NORMS[i % 3]}"]
        for i, name in enumerate([*OPTIMIZERS, "lbfgs"])
    ]
    others = ["reg=dropout", "averaging=ema", "loss=bce", "data=diabetes", "batching=full"]
    return [*turns, *([word] for word in others)]


@pytest.mark.parametrize("words", all_words(), ids=" ".join)
def test_same_start_as_on_the_cpu_and_nearly_the_same_end(words: list[str]) -> None:
    needs_fused_adagrad(words)
    on_gpu, on_cpu = built(*words), conftest.built(*words)
    assert on_gpu.device.type == "cuda"
    for name, weight in on_cpu.model.state_dict().items():
        assert torch.equal(weight, on_gpu.model.state_dict()[name].cpu())
    assert fit(on_gpu).status == fit(on_cpu).status
    assert on_gpu.history[0]["val_loss"] == pytest.approx(on_cpu.history[0]["val_loss"], rel=0.05)


@pytest.mark.parametrize("words", all_words(), ids=" ".join)
def test_replay_computes_the_bits_of_the_plain_loop(words: list[str]) -> None:
    """And so does the same seed again."""
    needs_fused_adagrad(words)
    engines = ["plain", "plain"] + ["replay"] * ("optimizer=lbfgs" not in words)
    trainings = [built(*words, f"trainer.engine={engine}") for engine in engines]
    for training in trainings:
        fit(training)
    for other in trainings[1:]:
        assert same_bits(other.state_dict(), trainings[0].state_dict())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_stack_ends_as_its_members_alone(
    optimizer: str, norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"optimizer={optimizer}", f"norm={norm}", "reg=l2,dropout"]
    words += ["optimizer.eps=1e-3"] if optimizer == "rmsprop" else []  # else it enlarges rounding
    needs_fused_adagrad(words)
    monkeypatch.setattr(stacks, "on_a_cpu", partial(built, "trainer.engine=replay"))
    stacks.assert_as_alone(stacks.each(*words, seed=range(3), reg__dropout__p=[0.0, 0.1, 0.5]))


@pytest.mark.parametrize("words", all_words(), ids=" ".join)
@pytest.mark.parametrize(("first", "second"), [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")])
def test_a_checkpoint_goes_on_elsewhere(
    words: list[str], first: str, second: str, tmp_path: Path
) -> None:
    needs_fused_adagrad(words)

    def on(device: str) -> Training:
        return conftest.built(*words, f"device={device}", "trainer.max_epochs=4")

    begun, continued, whole = on(first), on(second), on(second)
    begun.pause_epoch = 2
    fit(begun)
    checkpoint.save(tmp_path, begun.state_dict())
    continued.load_state_dict(checkpoint.load(tmp_path / "checkpoints" / checkpoint.LAST))
    assert fit(continued).status == fit(whole).status
    if first == second:
        assert same_bits(continued.state_dict()["model"], whole.state_dict()["model"])
    assert continued.history[:2] == begun.history
    assert continued.history[2]["val_loss"] == pytest.approx(whole.history[2]["val_loss"], rel=0.1)


def test_the_command_alone_and_as_a_sweep_with_weighted_rows(exprun: Run, tmp_path: Path) -> None:
    rows = [f"{i % 7},{i % 5},{'ab'[i % 7 > 3]},{1 + i % 2}" for i in range(200)]
    (tmp_path / "rows.csv").write_text("\n".join(["u,v,label,weight", *rows]))
    words = ["data=csv", "data.path=rows.csv", "data.target=label", "data.weight=weight"]
    words += ["trainer.max_epochs=2", "device=cuda", "diagnostics=full"]
    for more in ([], ["-m", "seed=0,1,2"]):
        done = exprun(*more, *words)
        assert done.returncode == 0, done.stderr
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    assert len(results) == 4
    assert all(result["device"].startswith("cuda") for result in results)
