"""Jobs made after a template are those that Hydra and OmegaConf make, and so are their errors."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from exprun.config.compose import Composer
from exprun.config.hydra_files import to_yaml, yaml_of_overrides
from exprun.config.hydra_internals import register_resolver
from exprun.config.job_configs import JobConfig, JobConfigs
from exprun.config.paths import conf_dir
from exprun.record.files import folder_name

Words = Callable[[int | float], list[str]]

ALIKE: dict[str, Words] = {
    "a number": lambda n: [f"seed={n}"],
    "nested": lambda n: [f"optimizer.lr={n}", "reg=l2", f"reg.l2.strength={n}"],
    "beside text": lambda n: ["device=cpu", f"trainer.max_epochs={n}", "model.activation='tanh'"],
    "with blanks": lambda n: [
        "+loss.note='a: b  #c'",
        f"seed={n}",
        "+loss.list=[1, 'two words', x]",
    ],
    "group after value": lambda n: [f"optimizer.lr={n}", "optimizer=sgd", f"seed={n}"],
    "read elsewhere": lambda n: ["scheduler=cosine", f"trainer.max_epochs={n}"],
    "read by an override": lambda n: ["data.split_seed=${seed}", f"seed={n}", f"optimizer.lr={n}"],
    "read twice": lambda n: ["problem=rosenbrock", f"problem.iterations={n}"],
    "read by a resolver": lambda n: ["checkpoint.every=${oc.select:seed}", f"seed={n}"],
    "a group that is read": lambda n: [
        "+loss.copy=${optimizer}",
        "optimizer=mine",
        f"optimizer.lr={n}",
    ],
    "names of hydra": lambda n: ["+loss.note=${hydra:job.id}", f"seed={n}"],
    "folder of hydra": lambda n: ["+loss.note=${hydra:runtime.output_dir}", f"seed={n}"],
    "words of hydra": lambda n: ["loss=named", f"optimizer.lr={n}", f"seed={n}"],
    "a new key": lambda n: ["+optimizer.extra=1", f"optimizer.lr={n}"],
    "a preset": lambda n: ["experiment=quick", f"trainer.max_epochs={n}", f"seed={n}"],
    "a float": lambda n: [f"optimizer.lr={n / 7}", f"data.val_fraction={(n % 9) / 10}"],
    "of one's own": lambda n: ["optimizer=mine", f"optimizer.lr={n}", "optimizer.etas=[1,2]"],
}
"""Overrides of jobs that are made after a template."""

NOT_ALIKE: dict[str, Words] = {
    "the same key twice": lambda n: ["seed=1", f"seed={n}"],
    "within another": lambda n: ["optimizer={lr:3,momentum:0.5}", f"optimizer.lr={n}"],
    "in place of a mapping": lambda n: [f"checkpoint={n}"],
    "of a group": lambda n: [f"optimizer={n}"],
    "in a list": lambda n: [f"optimizer.betas=[0.{n},0.9]"],
    "in a text": lambda n: [f"device=cuda:{n}"],
    "through an interpolation": lambda n: [
        "+alias=${optimizer}",
        f"alias.lr={n}",
        "optimizer.lr=2",
    ],
    "added": lambda n: [f"+optimizer.extra={n}"],
    "without numbers": lambda n: ["optimizer=sgd"],
}
"""Overrides of jobs that Hydra must make."""

VALUES = (1, 2, 3, 4, 12, 30, 7, 10**12, -1, 0)


@pytest.fixture
def composer(tmp_path: Path) -> Iterator[Composer]:
    """Of a sweep with a folder of the user's own options."""
    for name, text in {
        "optimizer/mine": "_target_: torch.optim.Rprop\nlr: 0.01\netas: [0.5, 1.2]\n",
        "loss/named": "defaults: [mse]\nname: ${exprun.folder_name:${hydra:overrides.task}}\n",
        "experiment/quick": "# @package _global_\ndefaults:\n  - override /scheduler: cosine\n"
        "trainer:\n  max_epochs: 2\nseed: ${trainer.max_epochs}\n",
    }.items():
        path = tmp_path / "options" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    register_resolver("exprun.folder_name", folder_name)
    search_path = create_config_search_path(str(conf_dir()))
    search_path.prepend("command-line", f"file://{tmp_path / 'options'}")
    hydra = Hydra.create_main_hydra2("exprun", search_path)
    master = hydra.compose_config(
        "config", ["hydra.sweep.dir=x"], run_mode=RunMode.MULTIRUN, with_log_configuration=False
    )
    yield Composer(hydra.config_loader, master)
    GlobalHydra.instance().clear()


def made(make: Callable[[list[str], int, str], JobConfig], words: list[str], n: int) -> str:
    """The job, or its error, as a text that tells apart what is not the same."""
    try:
        job = make(words, n, f"{n:03}_{folder_name(words[-1:])}")
    except Exception as error:
        return f"{type(error)}: {error}: {error.__cause__}"
    shown = job.config, job.overrides, dict(job.choices), job.subdir, dict(job.files)
    return "\n".join(map(repr, shown))


@pytest.mark.parametrize("name", [*ALIKE, *NOT_ALIKE])
def test_jobs_are_those_that_hydra_makes(name: str, composer: Composer, tmp_path: Path) -> None:
    words = (ALIKE | NOT_ALIKE)[name]
    configs, slowly = JobConfigs(composer, tmp_path), JobConfigs(composer, tmp_path)
    for number, value in enumerate(VALUES):
        expected = made(lambda *job: slowly.composed(*job)[1], words(value), number)
        assert made(configs.config, words(value), number) == expected
    templates = [template for template in configs.templates.values() if template]
    assert len(templates) == (name in ALIKE)


NUMBERS = [
    *(
        "0",
        "7",
        "-7",
        "+7",
        "-0",
        "10000000000000000000",
        "1.5",
        "-0.25",
        "1e3",
        "1E-3",
        "+2.5e+10",
    ),
    *(
        "1e400",
        "-1e400",
        "0.1",
        "0e0",
        "00",
        "01",
        "1_000",
        ".5",
        "5.",
        "1.e3",
        "1e",
        "0x10",
        "--1",
    ),
    *("1.5.2", "nan", "inf", "true", "1 ", " 1", "1,2", "1e3.5", "\u0661", "1-", "2e-1_0", "null"),
]
KEYS = [
    "seed",
    "optimizer.lr",
    "a.b.c",
    "_a.b1",
    "a-b",
    "a.0",
    "optimizer",
    "$a",
    "+seed",
    "a@b",
    "ä",
]


def test_numbers_are_parsed_as_hydra_parses_them(composer: Composer) -> None:
    parse = OverridesParser.create().parse_override
    for line in [f"{key}={number}" for key in KEYS for number in NUMBERS]:
        try:
            expected = repr(parse(line))
        except Exception as error:
            with pytest.raises(type(error)):
                composer.parsed(line)
        else:
            assert repr(composer.parsed(line)) == expected


def test_words_are_written_as_yaml_writes_them() -> None:
    rng = random.Random(0)
    parts = ["a", "Z", "0", "1e3", "on", "=", "/", ".", ",", "[", "]", "{", "}", "(", "~", "$", "*"]
    parts += [
        "'",
        '"',
        "-",
        "+",
        "_",
        ":",
        "#",
        " ",
        "&",
        "!",
        "|",
        ">",
        "%",
        "@",
        "?",
        "ü",
        "\n",
        "null",
    ]
    for _ in range(5000):
        words = ["".join(rng.choices(parts, k=rng.randrange(1, 9))) for _ in range(2)]
        assert yaml_of_overrides(words) == to_yaml(words)
    for word in ("a=1", "/a", "a=" + "b" * 500, "1e3=", "0/0", "seed=0"):
        assert yaml_of_overrides([word]) == to_yaml([word]) == f"- {word}\n"
