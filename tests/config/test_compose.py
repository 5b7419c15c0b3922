"""The configs of a sweep's jobs and their ``.hydra/`` are those that Hydra itself makes."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import Container, DictConfig, Node, OmegaConf

from exprun.config.compose import Composer
from exprun.config.hydra_files import hydra_files, write_hydra_files
from exprun.config.hydra_internals import quick_defaults_lists, register_resolver
from exprun.config.paths import conf_dir
from exprun.record.files import folder_name
from tests.command import run_command

JOBS = [
    # values
    [],
    ["seed=1"],
    ["seed=2", "optimizer.lr=1e-2", "trainer.max_epochs=1e1"],
    ["optimizer.lr=0.1", "optimizer.lr=0.2"],
    ["seed=2", "optimizer.lr=.5", "optimizer.betas=[0.8,0.9]", "device=cuda:0"],
    ["model.hidden=[10,20,30]", "model.activation=tanh"],
    ["model.hidden=[]"],
    ["model={hidden:[5],activation:relu}", "model.hidden=[6]"],
    ["model.hidden=[6]", "model={hidden:[5]}"],
    ["optimizer={lr:3}", "optimizer=sgd"],
    ["stopping.patience=null", "data.val_fraction=0"],
    ["device='a \"quoted\", = word'", 'loss.reduction="it\'s"'],
    ["device=${model.activation}", "checkpoint.every='${seed}'"],
    ["device=''", "seed='7'", "device=yes", "loss.reduction=on"],
    ["+new.key=1", "+new.other={a:[1,{b:null}]}", "++seed=5", "++brand.new=true"],
    ["+optimizer.extra=1e3", "~seed", "~optimizer.lr"],
    ["~trainer.max_epochs=50", "+trainer.max_epochs=3"],
    ["seed=???"],
    # options of groups
    ["optimizer=sgd", "optimizer.lr=0.1"],
    ["optimizer.lr=0.1", "optimizer=sgd", "seed=3"],
    ["optimizer=momentum", "optimizer.lr=0.2", "seed=3"],
    ["reg=[l2,dropout]", "reg.dropout.p=[0.1,0.2]", "model.hidden=[7,8]"],
    ["reg=[l2,dropout]", "reg.l2.strength=1e-4"],
    ["reg=none", "norm=batch", "norm.position=pre"],
    ["reg=none", "norm=batch", "norm.position=post"],
    ["data=iris", "data.standardize=false"],
    ["~optimizer", "seed=1"],
    ["~norm=none", "seed=1"],
    ["+reg@extra=l2", "extra.l2.strength=2"],
    ["experiment=quick", "seed=1"],
    ["experiment=quick", "optimizer=adam", "optimizer.lr=2"],
    ["optimizer=mine", "optimizer.lr=2", "optimizer.etas=[1,2]"],
    # Hydra's own node
    ["hydra.job.name=mine", "seed=1"],
    ["hydra.job.config.override_dirname.exclude_keys=[seed]", "seed=1", "optimizer.lr=2"],
    ["hydra.job.env_copy=[HOME]", "+hydra.job.env_set.A=1", "seed=1"],
    ["hydra.sweep.dir=${hydra.job.name}/${now:%Y}", "seed=2"],
    ["hydra/job_logging=default", "seed=2"],
    ["hydra.overrides.task=[first]", "optimizer=sgd", "seed=4"],
    ["+hydra={job:{num:3}}", "seed=4"],
]
"""The overrides of jobs that are legal, whether or not they make sense."""

WRONG = [
    ["optimizer.lrr=1"],
    ["seeed=1", "hydra.foo=1"],
    ["optimizer=nope", "seed=1"],
    ["optimizer=[sgd"],
    ["optimizer.lr=1,2"],
    ["optimizer@nowhere=sgd"],
    ["seed@nowhere=1"],
    ["++optimizer=sgd"],
    ["+seed=1"],
    ["~seed=99"],
    ["~optimizer=sgd"],
    ["optimizer=7"],
    ["experiment=null"],
    ["reg=[l2,nope]"],
    ["hydra.verbose.nope=1", "nope=1"],
    ["hydra.job.env_copy=[NO_SUCH_VARIABLE]"],
]
"""The overrides of jobs that cannot be composed."""


@pytest.fixture
def options(tmp_path: Path) -> Path:
    """A folder of the user's own options, one of them a preset."""
    for name, text in {
        "optimizer/mine": "_target_: torch.optim.Rprop\nlr: 0.01\netas: [0.5, 1.2]\n",
        "experiment/quick": "# @package _global_\ndefaults:\n  - override /optimizer: sgd\n"
        "trainer:\n  max_epochs: 2\n",
        "own/thing": "size: 3\n",
    }.items():
        path = tmp_path / "options" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return tmp_path / "options"


@pytest.fixture
def hydra(options: Path) -> Iterator[Hydra]:
    """Hydra as ``exprun --config-dir`` sets it up."""
    register_resolver("exprun.folder_name", folder_name)
    search_path = create_config_search_path(str(conf_dir()))
    search_path.prepend("command-line", f"file://{options}")
    yield Hydra.create_main_hydra2("exprun", search_path)
    GlobalHydra.instance().clear()


def master_config(hydra: Hydra, *overrides: str) -> DictConfig:
    """What the sweep itself is composed of."""
    return hydra.compose_config(
        "config", list(overrides), run_mode=RunMode.MULTIRUN, with_log_configuration=False
    )


def sweep_configs(hydra: Hydra, master: DictConfig, jobs: list[list[str]]) -> Iterator[DictConfig]:
    """The configs of a sweep's jobs, one after the other."""
    composer = Composer(hydra.config_loader, master)
    return (composer.config(job) for job in jobs)


def nodes(node: Node | None) -> list[Any]:
    """Every node below one: its class, its value or its keys, and its types and flags."""
    assert node is not None
    inside = node._content if isinstance(node, Container) else node._value()  # type: ignore[attr-defined]
    described: list[Any] = [type(node), node._metadata]
    if isinstance(inside, dict):
        return [*described, {key: nodes(child) for key, child in inside.items()}, list(inside)]
    if isinstance(inside, list):
        return [*described, [nodes(child) for child in inside]]
    return [*described, inside, type(inside)]


def assert_same(config: DictConfig, expected: DictConfig) -> None:
    assert OmegaConf.to_container(config) == OmegaConf.to_container(expected)
    assert OmegaConf.to_yaml(config) == OmegaConf.to_yaml(expected)  # also the order of keys
    assert nodes(config) == nodes(expected)
    assert all(child is None or child._get_parent() is config for child in config._content.values())  # type: ignore[union-attr]


def test_jobs_are_those_that_hydra_composes(hydra: Hydra) -> None:
    master = master_config(hydra, "optimizer=adam", "seed=1,2", "hydra.job.name=${now:%S_%f}")
    assert master.hydra.job.name
    loader = hydra.config_loader
    for config, job in zip(sweep_configs(hydra, master, JOBS), JOBS, strict=True):
        expected = loader.load_sweep_config(master, job)
        assert_same(config, expected)
        assert config.hydra.job.name == expected.hydra.job.name


def test_every_option_beside_others(hydra: Hydra) -> None:
    """Hydra 1.4 refuses presets as part of a job, for they set the sweeper."""
    groups = {
        group.name: sorted(path.stem for path in group.glob("*.yaml"))
        for group in conf_dir().iterdir()
        if group.is_dir() and group.name not in ("hydra", "space")
    }
    draws = random.Random(0)
    jobs = []
    for number in range(max(map(len, groups.values()))):
        own = [f"{key}={names[number % len(names)]}" for key, names in groups.items()]
        jobs.append([word for word in own if draws.random() < 0.7])
    left = [f"{key}={name}" for key, names in groups.items() for name in names]
    jobs += [[word] for word in left if not any(word in job for job in jobs)]
    composer = Composer(hydra.config_loader, master := master_config(hydra))

    def composed(job: list[str]) -> DictConfig | str:
        try:
            return composer.config(job)
        except HydraException as error:
            return str(error)

    with quick_defaults_lists():
        configs = [composed(job) for job in jobs]
    for config, job in zip(configs, jobs, strict=True):
        if isinstance(config, str):
            with pytest.raises(HydraException, match=re.escape(config)):
                hydra.config_loader.load_sweep_config(master, job)
        else:
            assert_same(config, hydra.config_loader.load_sweep_config(master, job))
    assert any(isinstance(config, DictConfig) for config in configs)


def test_jobs_share_nothing_that_changes(hydra: Hydra) -> None:
    master = master_config(hydra)
    jobs = [["seed=1"], ["seed=1"]]
    expected = hydra.config_loader.load_sweep_config(master, jobs[1])
    configs = sweep_configs(hydra, master, jobs)
    first = next(configs)
    first.model.hidden.append(1)
    first.hydra.job.num = 7
    first.hydra.overrides.task.append("x=1")
    OmegaConf.set_readonly(first.hydra, True)
    assert_same(next(configs), expected)


def test_the_files_are_read_once_for_the_same_options(hydra: Hydra, options: Path) -> None:
    jobs = [["optimizer=mine", "seed=1"], ["optimizer.lr=3", "optimizer=mine", "hydra.verbose=x"]]
    jobs.append(["seed=2", "optimizer=mine", "optimizer.lr=4"])
    configs = sweep_configs(hydra, master_config(hydra), jobs)
    assert next(configs).optimizer.lr == 0.01
    assert next(configs).optimizer.lr == 3
    (options / "optimizer" / "mine.yaml").unlink()
    assert next(configs).optimizer.lr == 4


def test_groups_of_hydras_search_path_are_groups(options: Path) -> None:
    hydra = Hydra.create_main_hydra2("exprun", create_config_search_path(str(conf_dir())))
    try:
        found = f"hydra.searchpath=['file://{options}']"
        jobs = [["+own=thing", "own.size=4"], ["optimizer=mine", "seed=1"]]
        master = master_config(hydra, found)
        for config, job in zip(sweep_configs(hydra, master, jobs), jobs, strict=True):
            assert_same(config, hydra.config_loader.load_sweep_config(master, job))
        master = master_config(hydra)
        job = [found, "+own=thing", "seed=1"]
        (config,) = sweep_configs(hydra, master, [job])
        assert_same(config, hydra.config_loader.load_sweep_config(master, job))
    finally:
        GlobalHydra.instance().clear()


@pytest.mark.parametrize("job", WRONG, ids=" ".join)
def test_what_cannot_be_composed_raises_what_hydra_raises(job: list[str], hydra: Hydra) -> None:
    master = master_config(hydra)
    configs = sweep_configs(hydra, master, [["seed=1"], job])
    next(configs)
    with pytest.raises((HydraException, ValueError, KeyError)) as raised:
        next(configs)
    with pytest.raises(type(raised.value)) as expected:
        hydra.config_loader.load_sweep_config(master, job)
    assert type(raised.value) is type(expected.value)
    assert str(raised.value) == str(expected.value)
    assert str(raised.value.__cause__) == str(expected.value.__cause__)


def test_hydra_files_are_those_that_hydra_writes(tmp_path: Path) -> None:
    words = ["data=iris", "trainer.max_epochs=1", "reg=[l2,dropout]", "+optimizer.foreach=null"]
    words += ["hydra.run.dir=run", "+hydra.job.env_set.WORD='on: 1e3'"]
    assert run_command(tmp_path, *words).returncode == 0
    folder = tmp_path / "run"
    read = {name: OmegaConf.load(folder / ".hydra" / f"{name}.yaml") for name in FILES}
    assert isinstance(read["config"], DictConfig)
    assert isinstance(read["hydra"], DictConfig)
    config = DictConfig({**read["config"], "hydra": read["hydra"]._get_node("hydra")})
    write_hydra_files(tmp_path / "own", hydra_files(config, as_it_is(config)))
    for name in FILES:
        own = tmp_path / "own" / ".hydra" / f"{name}.yaml"
        assert own.read_text() == (folder / ".hydra" / f"{name}.yaml").read_text()


def as_it_is(config: DictConfig) -> dict[Any, Any]:
    """The config without its ``hydra`` node, interpolations as they are."""
    content: Any = OmegaConf.to_container(config)
    return {key: value for key, value in content.items() if key != "hydra"}


FILES = ("config", "hydra", "overrides")


@pytest.mark.parametrize(
    "job",
    [
        [],
        ["device='on'", "checkpoint.every='1e3'", "trainer.threads='007'"],
        ["device=${model.activation}", "+text='ünï: çødé \"quoted\" # no comment'", "+nothing={}"],
        ["device='two\n\nlines '", "+long='" + "many words " * 30 + "'", "+list=[]", "seed=null"],
        ["+odd={1:one,true:2,0.5:3}", "+small=1e-30", "+infinite=inf", "+minus=-0.0"],
    ],
)
def test_hydra_files_hold_the_config(job: list[str], hydra: Hydra, tmp_path: Path) -> None:
    (config,) = sweep_configs(hydra, master_config(hydra), [job])
    write_hydra_files(tmp_path, hydra_files(config, as_it_is(config)))
    for name, content in {
        "config": OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]),
        "hydra": OmegaConf.masked_copy(config, "hydra"),
        "overrides": config.hydra.overrides.task,
    }.items():
        path = tmp_path / ".hydra" / f"{name}.yaml"
        assert path.read_text() == OmegaConf.to_yaml(content)
        assert OmegaConf.load(path) == OmegaConf.create(OmegaConf.to_yaml(content))


def test_a_sweep_of_hydras_basic_sweeper(tmp_path: Path) -> None:
    words = ["-m", "data=iris", "trainer.max_epochs=1", "seed=0,1", "hydra.sweep.dir=sweep"]
    assert run_command(tmp_path, *words, "hydra/sweeper=basic").returncode == 0
    assert len(list((tmp_path / "sweep").glob("*/result.json"))) == 2
