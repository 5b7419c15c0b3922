"""Every YAML file in ``conf/`` is composed, checked and trained for a few steps."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from exprun.build import mlp
from exprun.common.errors import UsageError
from exprun.config.hydra_internals import VERSION_BASE, register_resolver
from exprun.config.paths import conf_dir
from exprun.config.rules import RULES, rule_for
from exprun.config.schema import check, leaves, plain
from exprun.fit.loop import fit
from exprun.record.files import folder_name
from exprun.training.training import Training

CONF = conf_dir()
OWN = ("arff", "arrow", "csv", "idx", "npz", "openml", "parquet", "xlsx")
OPTIONS = sorted(
    f"{path.parent.name}={path.stem}"
    for path in CONF.glob("*/*.yaml")
    if path.stem not in OWN  # need a file, or the internet: test_own_data.py
    and path.parent.name not in ("problem", "experiment")  # test_problems.py, test_published.py
)
OPTIMIZERS = sorted(path.stem for path in (CONF / "optimizer").glob("*.yaml"))
SCHEDULERS = sorted(path.stem for path in (CONF / "scheduler").glob("*.yaml"))


def composed(*overrides: str) -> DictConfig:
    register_resolver("exprun.folder_name", folder_name)
    with initialize_config_dir(str(CONF), job_name="exprun", **VERSION_BASE):
        return compose("config", list(overrides))


def build(*overrides: str) -> Training:
    return mlp(plain(composed(*overrides)))


def needed_for(option: str) -> list[str]:
    """What an option cannot do without."""
    regression = {"loss=huber", "loss=mae", "loss=mse", "loss=poisson"}
    return ["data=diabetes"] if option in regression else []


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_valid_and_trains(option: str) -> None:
    config = composed(option, *needed_for(option), "trainer.max_epochs=1")
    check(config)
    training = mlp(plain(config))
    before = {name: w.clone() for name, w in training.model.state_dict().items()}
    outcome = fit(training)
    assert outcome.status == "completed"
    after = training.model.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert all(w.isfinite().all() for w in after.values())


@pytest.mark.parametrize(
    "path", sorted(CONF.glob("*/*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_every_file_opens_with_its_line_of_help(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if "@package" not in line]
    assert lines[0].startswith("# ")
    assert len(lines[0]) <= 82


def test_every_shipped_key_has_a_rule_and_every_rule_a_key() -> None:
    used = set()
    for option in [
        *OPTIONS,
        "reg=[l1,l2,elastic_net,dropout,max_norm,weight_decay,label_smoothing]",
        "problem=quadratic",
        "problem=ema",
        "problem=lr_range_test",
    ]:
        for key, _ in leaves(composed(option)):
            if not key.endswith("_target_"):
                assert rule_for(key) is not None, key
                used |= {key, key.rpartition(".")[2]}
    for name in OWN:
        node = OmegaConf.load(CONF / "data" / f"{name}.yaml")
        used |= {name for key in node for name in (str(key), f"data.{key}")}
    used |= {key for key in RULES if key.startswith("published.")}  # test_published.py
    assert set(RULES) <= used


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_norms_and_regularisers_combine(optimizer: str, norm: str) -> None:
    reg = "l1,l2,elastic_net,dropout,max_norm,label_smoothing"
    config = composed(
        f"optimizer={optimizer}",
        f"norm={norm}",
        "norm.position=post",
        f"reg=[{reg}]",
        "scheduler=cosine",
        "scheduler.warmup_epochs=1",
        "trainer.max_epochs=2",
        "data=iris",
        "model.hidden=[8,8]",
    )
    training = mlp(plain(config))
    assert fit(training).status == "completed"
    assert training.iteration == 2 * training.iterations_per_epoch


@pytest.mark.parametrize(
    ("scheduler", "batching"),
    list(itertools.product(SCHEDULERS, ["minibatch", "full", "stochastic"])),
)
def test_schedulers_and_batchings_combine(scheduler: str, batching: str) -> None:
    config = composed(
        f"scheduler={scheduler}",
        "scheduler.warmup_epochs=2",
        f"batching={batching}",
        "trainer.max_epochs=3",
        "data=moons",
        "data.rows=60",
        "model.hidden=[4]",
    )
    assert fit(mlp(plain(config))).status == "completed"


@pytest.mark.parametrize(
    "override",
    [
        *(f"optimizer={name}" for name in OPTIMIZERS),
        "reg=dropout",
        "batching=full",
        "batching=stochastic",
    ],
)
def test_defaults_learn_digits(override: str) -> None:
    training = mlp(plain(composed(override)))
    fit(training)
    training.model.load_state_dict(training.kept)
    training.model.eval()
    with torch.inference_mode():
        predicted = training.model(training.data.test.x).argmax(1)
    assert (predicted == training.data.test.y).double().mean() >= 0.95


def test_diabetes_is_learned_better_than_by_its_mean() -> None:
    training = mlp(plain(composed("data=diabetes")))
    fit(training)
    assert training.kept_row["val_r2"] > 0.3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer.lr=-0.1"], "optimizer.lr=-0.1: expected a number above 0"),
        (["optimizer.lr=nan"], "optimizer.lr=nan: expected a finite number above 0"),
        (["optimizer.lr=inf"], "optimizer.lr=inf: expected a finite number above 0"),
        (["optimizer.lr=true"], "optimizer.lr=true: expected a number above 0"),
        (["optimizer.lr=fast"], "optimizer.lr=fast: expected a number above 0"),
        (["optimizer.betas=[0.9,1.0]"], "two numbers in [0, 1), like [0.9,0.999]"),
        (
            ["optimizer=sgd", "optimizer.momentum=1"],
            "optimizer.momentum=1: expected a number in [0, 1)",
        ),
        (
            ["reg=dropout", "reg.dropout.p=1.5"],
            "reg.dropout.p=1.5: expected a number in [0, 1), or one",
        ),
        (["model.hidden=[0]"], "model.hidden=[0]: expected a list of layer sizes of at least 1"),
        (["model.hidden=[2.5]"], "model.hidden=[2.5]: expected a list of layer sizes"),
        (["model.hidden=64"], "model.hidden=64: expected a list of layer sizes"),
        (["model.activation=rleu"], "did you mean relu?"),
        (
            ["batching.batch_size=0"],
            "batching.batch_size=0: expected full, or a whole number of at",
        ),
        (["trainer.max_epochs=-1"], "trainer.max_epochs=-1: expected a whole number of at least 1"),
        (["trainer.max_epochs=5.0"], "did you mean 5?"),
        (["seed=-1"], "seed=-1: expected a whole number of at least 0"),
        (["device=gpu"], "device=gpu: expected auto, cpu, cuda or cuda:<index>"),
        (["data.val_fraction=1"], "data.val_fraction=1: expected a number in [0, 1)"),
        (["data=csv"], "data.path is not given; expected a file or a folder that"),
        (
            ["data=csv", "data.path=."],
            "data.target is not given; expected a column, or a list of columns, like [id,date]: ",
        ),
        (
            ["data=csv", "data.path=pyproject.tolm", "data.target=y"],
            "data.path=pyproject.tolm: expected a file or a folder that exists, or a pattern of "
            "files; did you mean pyproject.toml?",
        ),
        (["data=csv", "data.path=.", "data.target=y", "data.drop=id"], "did you mean [id]?"),
        (["model.hidden=100"], "model.hidden=100: expected a list of layer sizes of at least 1"),
        (["model.hidden=100"], "did you mean [100]?"),
        (["norm=batch", "norm.position=before"], "norm.position=before: expected pre or post"),
        (
            ["init.mode=fan_inn"],
            "init.mode=fan_inn: expected fan_in, fan_out or fan_avg; did you mean",
        ),
        (["stopping.patience=0"], "stopping.patience=0: expected null, or a whole number of at"),
        (["+nonsense=1"], "nonsense=1: no such key"),
        (["+trainer.epochs=1"], "trainer.epochs=1: no such key; did you mean max_epochs?"),
        (["~optimizer"], "optimizer has no _target_; expected one in the YAML of optimizer=…"),
        (["~trainer.max_epochs"], "trainer.max_epochs is missing; expected a whole number of at"),
        (["~seed"], "seed is missing; expected a whole number of at least 0"),
        (["optimizer.lr='0.1'"], "optimizer.lr='0.1' (text): expected a number above 0"),
        (["trainer=5"], "trainer=5: no such key; expected trainer.max_epochs=…"),
        (["loss.class_weight=balance"], "expected balanced, or null, or one weight per class"),
        (
            ["loss.class_weight=[1,0]"],
            "loss.class_weight=[1,0]: expected balanced, or null, or one",
        ),
        (["data.val_fraction=0.6", "data.test_fraction=0.6"], "expected a sum below 1"),
        (["data.fold=1"], "data.fold=1: expected data.folds=…"),
        (["data.folds=5"], "data.folds=5: expected data.fold=0 to 4, or all of them"),
        (["data.folds=5", "data.fold=5"], "data.folds=5 data.fold=5: expected data.fold=0 to 4"),
        (["data.val_fraction=0"], "expected stopping=none, or a larger data.val_fraction"),
        (["reg=dropout", "reg.dropout.p=[0.1]"], "has 1 values for 2 hidden layers"),
        (["norm=batch", "batching=stochastic"], "norm=batch: a batch of one row has no variance"),
    ],
)
def test_wrong_values_are_named(overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(composed(*overrides))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=diabetes", "loss=cross_entropy"], "expected loss=mse, mae, huber or poisson"),
        (
            ["data=diabetes", "reg=label_smoothing"],
            "reg=label_smoothing: expected loss=cross_entropy",
        ),
        (["optimizer=lbfgs", "reg=weight_decay"], "reg=weight_decay: torch.optim.LBFGS has no"),
        (
            ["loss.class_weight=[1,2]"],
            "has 2 values for 10 classes; expected one each, in the order",
        ),
        (
            ["data=diabetes", "loss.class_weight=balanced"],
            "loss.class_weight: diabetes has no classes; expected null",
        ),
        (
            ["stopping.monitor=val_rmse"],
            "for digits expected val_loss, val_accuracy, val_balanced_accuracy, val_macro_f1, "
            "val_roc_auc or val_log_loss",
        ),
        (
            ["data=diabetes", "stopping.monitor=val_macro_f1"],
            "for diabetes expected val_loss, val_rmse, val_mae or val_r2",
        ),
        (
            ["stopping.monitor=val_weighted_loss"],
            "without loss.class_weight digits expected val_loss, val_accuracy",
        ),
        (["optimizer._target_=torch.optim.Nope"], "there is no such class or function"),
        (["optimizer._target_=torch.optim"], "there is no such class or function"),
        (["+optimizer.foo=1"], "unexpected keyword argument 'foo'"),
        (["init=uniform", "init.low=1"], "init: low=1 is above high=0.05"),
        (["device=cuda:7"], "device=cuda:7: "),
    ],
)
def test_what_only_data_or_machine_can_tell_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        mlp(plain(composed(*overrides)))
    assert message in str(caught.value)
