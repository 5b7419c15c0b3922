"""A model out of a run's folder: whole, moved, damaged, or somebody else's."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from exprun.common.constants import ACTIVATIONS
from exprun.common.errors import UsageError
from exprun.data.frame import Frame
from exprun.data.preprocess import Preprocessing
from exprun.data.scaling import Scaling
from exprun.data.task import Task
from exprun.record.files import write_files
from exprun.record.model import load_model, model_files, single_file
from exprun.techniques.networks import MLP, architecture, rebuilt
from exprun.training.prediction import Model

NORMS: dict[str, Any] = {
    "none": None,
    "batch": partial(nn.BatchNorm1d, eps=0.01),
    "batch without affine": partial(nn.BatchNorm1d, affine=False),
    "layer": partial(nn.LayerNorm, eps=0.1),
    "layer without bias": partial(nn.LayerNorm, bias=False),
    "layer without affine": partial(nn.LayerNorm, elementwise_affine=False),
}
FRAME = Frame(("width", "height"), np.random.default_rng(0).normal(size=(50, 2)) * [3, 40] + 7)
SPECIES = Task(("species",), ("cat", "dog", "owl"))


def network(*, inputs: int = 2, outputs: int = 3, seed: int = 0, **options: Any) -> MLP:
    """An MLP with random weights and, in its norms, random statistics."""
    model = MLP(inputs, outputs, **{"hidden": [5, 4]} | options)
    random = torch.Generator().manual_seed(seed)
    for name, values in model.state_dict().items():
        if values.is_floating_point():
            values.normal_(generator=random)
            if "running_var" in name:
                values.abs_().add_(0.1)
    return model.eval()


def fitted(task: Task = SPECIES, frame: Frame = FRAME, **how: Any) -> Preprocessing:
    target = Scaling((), ()) if task.classes else Scaling((5.0,), (2.0,))
    return Preprocessing.fit(frame, np.arange(len(frame)), task, target, **how)


def write(folder: Path, model: nn.Module | None = None, task: Task = SPECIES) -> Path:
    """A run's folder, as far as a prediction needs it."""
    folder.mkdir()
    model = model or network()
    write_files(model_files(folder, model, model.state_dict(), fitted(task), "softmax"))
    return folder


# ------------------------------------------------------------------------------------ whole


@pytest.mark.parametrize("hidden", [[], [6], [5, 4, 3]])
@pytest.mark.parametrize("position", ["pre", "post"])
@pytest.mark.parametrize("norm", NORMS)
def test_a_network_is_rebuilt_from_plain_data(norm: str, position: Any, hidden: list[int]) -> None:
    model = network(hidden=hidden, norm=NORMS[norm], norm_position=position)
    described = json.loads(json.dumps(architecture(model)))
    again = rebuilt(described, model.state_dict())
    x = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again(x), model(x))
    assert architecture(again) == described


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations_are_rebuilt(activation: str) -> None:
    model = network(activation=activation)
    x = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rebuilt(architecture(model), model.state_dict())(x), model(x))


def test_a_model_answers_as_the_network_it_was_saved_from(tmp_path: Path) -> None:
    model = network(hidden=[])
    folder = write(tmp_path / "run", model)
    loaded = load_model(folder)
    x = torch.from_numpy(fitted().apply(FRAME))
    assert torch.equal(loaded.outputs(FRAME), model(x))
    answers = loaded.predict(FRAME)
    assert answers.values == pytest.approx(model(x).softmax(1).numpy(force=True), abs=1e-6)
    expected = np.array(SPECIES.classes)[model(x).argmax(1)]
    assert answers.labels is not None
    assert answers.labels.tolist() == expected.tolist()
    assert len(set(expected)) > 1


def test_equal_models_are_equal_files(tmp_path: Path) -> None:
    folders = write(tmp_path / "a"), write(tmp_path / "b")
    for name in ("model.safetensors", "preprocess.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


@pytest.mark.parametrize("label", ["01", "-1", "1.0", "ja, nein", 'a "quoted" one', " x ", "größe"])
def test_labels_come_back_as_they_were_spelled(label: str, tmp_path: Path) -> None:
    task = Task(("y",), tuple(sorted({label, "1", "+1"})))
    answers = load_model(write(tmp_path / "run", network(), task)).predict(FRAME)
    assert answers.labels is not None
    assert set(answers.labels) <= {label, "1", "+1"}
    assert list(answers.columns()) == ["y", *(f"probability_{word}" for word in task.classes)]


def test_numbers_are_in_the_targets_unit() -> None:
    model = Model(network(outputs=1), fitted(Task(("price",))), "identity")
    z = model.outputs(FRAME).double().numpy()
    assert model.predict(FRAME).columns()["price"] == pytest.approx(z[:, 0] * 2 + 5)


def test_two_classes_with_one_output() -> None:
    model = Model(network(outputs=1), fitted(Task(("y",), ("no", "yes"))), "sigmoid")
    z, answers = model.outputs(FRAME)[:, 0], model.predict(FRAME)
    assert answers.values[:, 1] == pytest.approx(z.sigmoid().numpy(), abs=1e-6)
    assert answers.labels is not None
    assert answers.labels.tolist() == ["yes" if value > 0 else "no" for value in z]


def test_an_answer_that_is_no_number_is_named() -> None:
    model = network()
    model.output.weight.data[0, 0] = float("inf")
    model.hidden[1].linear.bias.data[0] = 1  # type: ignore[union-attr,index,operator]
    with pytest.raises(UsageError, match=r"the network's answer to row \d+ is not a finite number"):
        Model(model, fitted(), "softmax").predict(FRAME)


def test_many_rows_are_those_of_few(tmp_path: Path) -> None:
    frame = Frame(FRAME.names, np.tile(FRAME.numbers, (400, 1)))
    model = load_model(write(tmp_path / "run"))
    torch.testing.assert_close(model.outputs(frame)[-50:], model.outputs(FRAME))


def test_a_folder_may_be_moved_and_hold_nothing_else(tmp_path: Path) -> None:
    before = load_model(write(tmp_path / "run")).predict(FRAME)
    shutil.move(tmp_path / "run", tmp_path / "elsewhere, with spaces")
    after = load_model(tmp_path / "elsewhere, with spaces").predict(FRAME)
    assert np.array_equal(before.values, after.values)


def test_a_single_file_is_a_model(tmp_path: Path) -> None:
    model = load_model(write(tmp_path / "run"))
    (tmp_path / "alone.safetensors").write_bytes(single_file(model))
    again = load_model(tmp_path / "alone.safetensors")
    assert again.preprocessing == model.preprocessing
    assert torch.equal(again.outputs(FRAME), model.outputs(FRAME))


# ---------------------------------------------------------------------------------- refused


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        load_model(path)
    return str(caught.value)


def as_run(folder: Path, status: str | None = None, reason: str = "") -> Path:
    """A run's folder without a model."""
    (folder / ".hydra").mkdir(parents=True)
    if status:
        (folder / "result.json").write_text(json.dumps({"status": status, "reason": reason}))
    return folder


def head_of(file: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    with safe_open(file, "pt") as opened:
        weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        return json.loads(opened.metadata()["exprun"]), weights


def with_head(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Somebody edits the head of the safetensors file."""

    def damage(folder: Path) -> None:
        file = folder / "model.safetensors"
        head, weights = head_of(file)
        change(head)
        save_file(weights, file, metadata={"exprun": json.dumps(head)})

    return damage


def with_json(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Somebody edits ``preprocess.json``."""

    def damage(folder: Path) -> None:
        file = folder / "preprocess.json"
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))

    return damage


def flip(name: str, place: int) -> Callable[[Path], None]:
    """One bit of a file, at a place from its end."""

    def damage(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[place] ^= 1
        (folder / name).write_bytes(content)

    return damage


def cut(name: str, share: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        size = (folder / name).stat().st_size
        os.truncate(folder / name, int(share * size))

    return damage


def text(name: str, content: str | bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def other_weights(folder: Path) -> None:
    head, _ = head_of(folder / "model.safetensors")
    weights = network(seed=1).state_dict()
    metadata = {"exprun": json.dumps(head)}
    save_file(dict(weights), folder / "model.safetensors", metadata=metadata)


def somebody_elses(folder: Path) -> None:
    save_file({"w": torch.zeros(2)}, folder / "model.safetensors")


def unreadable_head(folder: Path) -> None:
    metadata = {"exprun": "[1, 2"}
    save_file({"w": torch.zeros(2)}, folder / "model.safetensors", metadata=metadata)


WEIGHTS, JSON = "{run}/model.safetensors", "{run}/preprocess.json"
DAMAGED = WEIGHTS + ": is damaged: its checksum does not fit its content"
NO_FILE = WEIGHTS + ": is damaged or no safetensors file: "
EDITED = JSON + ": is damaged, or not the one that was written with model.safetensors"
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a bit of the weights": (flip("model.safetensors", -1), DAMAGED),
    "other weights": (other_weights, DAMAGED),
    "cut weights": (cut("model.safetensors", 0.9), NO_FILE),
    "cut head": (cut("model.safetensors", 0.1), NO_FILE),
    "empty file": (cut("model.safetensors", 0), NO_FILE),
    "a pickle": (text("model.safetensors", pickle.dumps({"a": 1}) * 9), NO_FILE),
    "somebody else's": (somebody_elses, WEIGHTS + ": was not written by this version of exprun"),
    "unreadable head": (unreadable_head, WEIGHTS + ": is damaged: its head cannot be read"),
    "another activation": (
        with_head(lambda h: h["architecture"].update(activation="tanh")),
        DAMAGED,
    ),
    "another meaning": (with_head(lambda h: h.update(output_activation="sigmoid")), DAMAGED),
    "unknown meaning": (
        with_head(lambda h: h.update(output_activation="os.system")),
        WEIGHTS + ": is damaged: its head cannot be read",
    ),
    "head without checksums": (
        with_head(lambda h: h.pop("sha256")),
        WEIGHTS + ": is damaged: its head cannot be read",
    ),
    "newer format": (
        with_head(lambda h: h.update(format=9)),
        WEIGHTS + ": is of format 9, expected 1; update exprun",
    ),
    "cut json": (cut("preprocess.json", 0.5), JSON + ": is damaged: it is not JSON"),
    "empty json": (cut("preprocess.json", 0), JSON + ": is damaged: it is not JSON"),
    "binary json": (
        text("preprocess.json", b"\xff\xfe\x00"),
        JSON + ": is damaged: it is not JSON",
    ),
    "json of another kind": (
        text("preprocess.json", "[]"),
        "{run}: preprocess.json: it is damaged: ",
    ),
    "older json": (
        with_json(lambda j: j.update(format=1)),
        "{run}: preprocess.json: format 1, expected 2",
    ),
    "json without columns": (
        with_json(lambda j: j.pop("columns")),
        "{run}: preprocess.json: columns is missing",
    ),
    "an edited number": (with_json(lambda j: j["columns"][0].update(fill=1.5)), EDITED),
    "an edited label": (with_json(lambda j: j["task"]["classes"].reverse()), EDITED),
    "no json": (
        lambda folder: (folder / "preprocess.json").unlink(),
        "{run}: has no model: preprocess.json missing",
    ),
    "no weights": (
        lambda folder: (folder / "model.safetensors").unlink(),
        "{run}: has no model: model.safetensors missing",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    folder = as_run(write(tmp_path / "run"), "completed")
    spoil, message = DAMAGES[damage]
    spoil(folder)
    said = refusal(folder)
    assert said.startswith(message.format(run=folder))
    assert "\n" not in said


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", network(hidden=[2]))
    for name in ("model.safetensors", "preprocess.json"):
        whole = (folder / name).read_bytes()
        for place in range(0, len(whole), 7):
            spoiled = bytearray(whole)
            spoiled[place] ^= 1 << place % 8
            (folder / name).write_bytes(spoiled)
            try:
                model = load_model(folder)
            except UsageError:
                continue
            # only what says nothing may differ: white space, or a name nobody asks for
            (folder / name).write_bytes(whole)
            assert torch.equal(model.outputs(FRAME), load_model(folder).outputs(FRAME))
            assert model.preprocessing == load_model(folder).preprocessing
        (folder / name).write_bytes(whole)


def test_folders_without_a_model(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    assert refusal(missing) == (
        f"{missing}: there is no such folder; expected one like outputs/runs/…"
    )
    diverged = as_run(tmp_path / "diverged", "diverged", "epoch 1: a loss is not finite")
    assert refusal(diverged) == (
        f"{diverged}: has no model, for the run diverged: epoch 1: a loss is not finite"
    )
    failed = as_run(tmp_path / "failed", "failed", "No space left on device")
    assert refusal(failed) == f"{failed}: has no model, for the run failed: No space left on device"
    for folder in (
        as_run(tmp_path / "killed"),
        as_run(tmp_path / "stopped", "interrupted", "interrupted in epoch 1"),
    ):
        assert (
            refusal(folder) == f"{folder}: has no model yet; expected exprun resume {folder} first"
        )
    torn = as_run(tmp_path / "torn")
    (torn / "result.json").write_text('{"status": ')
    assert refusal(torn) == f"{torn / 'result.json'}: is damaged: it is not JSON"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refusal(empty) == f"{empty}: is no folder of a run; expected one like outputs/runs/…"


def test_the_folder_of_all_runs_names_the_newest(tmp_path: Path) -> None:
    write(tmp_path / "2026-01-02_run")
    newest = write(tmp_path / "2026-01-03_run")
    assert refusal(tmp_path) == f"{tmp_path}: is no folder of a run; expected one like {newest}"


def test_a_sweep_names_its_best_run(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    assert refusal(tmp_path) == f"{tmp_path}: is a sweep; expected one of its runs"
    (tmp_path / "leaderboard.csv").write_text("number,folder\n1,1_diverged\n0,0_best\n2,2_next\n")
    write(tmp_path / "2_next")
    best = write(tmp_path / "0_best")
    assert (
        refusal(tmp_path) == f"{tmp_path}: is a sweep; expected one of its runs; the best is {best}"
    )


def test_a_file_without_preprocessing_names_its_folder(tmp_path: Path) -> None:
    file = write(tmp_path / "run") / "model.safetensors"
    assert (
        refusal(file) == f"{file}: has no preprocessing in it; expected its folder, {file.parent}"
    )


class Doubled(MLP):
    """Somebody's own network, with the parameters of an MLP."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (lambda: Doubled(2, 3), f"{__name__}.Doubled"),
        (lambda: nn.Sequential(nn.Linear(2, 3)), "torch.nn.modules.container.Sequential"),
        (
            lambda: MLP(2, 3, norm=partial(nn.BatchNorm1d, track_running_stats=False)),
            "exprun.techniques.networks.MLP with torch.nn.modules.batchnorm.BatchNorm1d",
        ),
        (
            lambda: MLP(2, 3, norm=nn.RMSNorm),
            "exprun.techniques.networks.MLP with torch.nn.modules.normalization.RMSNorm",
        ),
    ],
)
def test_a_network_of_somebodys_own_is_refused(model: Any, named: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "run", model())
    assert refusal(folder) == (
        f"{folder / 'model.safetensors'}: its network is {named}, which needs code that is not in "
        "it; expected exprun's own, model=mlp"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": [10**12, 4]},
        {"hidden": [5]},
        {"hidden": "5"},
        {"inputs": -3},
        {"activation": "no_such"},
        {"norm": {"kind": "Module"}},
        {"norm": {"kind": "BatchNorm1d", "eps": 0.1, "affine": True}},
        {"outputs": None},
    ],
)
def test_a_description_that_is_none_is_refused(change: dict[str, Any]) -> None:
    """Whoever makes checksums that fit still gets no memory and no code."""
    model = network()
    with pytest.raises(ValueError, match=r"."):
        rebuilt(architecture(model) | change, model.state_dict())
