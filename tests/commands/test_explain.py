"""``exprun explain``: every option has its section, its defaults are true, its command is valid."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from exprun.cli import main
from exprun.commands import option_pages
from exprun.commands.option_pages import CONFIG, HYDRA, PUBLISHED, SHARED
from exprun.config.compose import Composer
from exprun.config.hydra_internals import VERSION_BASE
from exprun.config.options import groups, options
from exprun.config.paths import conf_dir, pages_dir
from exprun.config.schema import check, spelled
from exprun.config.sweep_overrides import expand
from exprun.sweeps.search.space import parse

FOLDERS = [conf_dir()]
GROUPS = [*groups(FOLDERS), *HYDRA]
PAGES = [
    path.relative_to(pages_dir()).with_suffix("").as_posix() for path in pages_dir().rglob("*.md")
]
OWN_HEAD = ("experiment",)
"""Groups whose files explain themselves, by their heads."""

OPTIONS = [
    (group, name, path)
    for group in GROUPS
    if group not in OWN_HEAD
    for name, path in options(group, FOLDERS).items()
    if name in option_pages.sections(option_pages.page(group))
]
"""Those that have a section; that all have one is a test of its own."""

IDS = [f"{group}={name}" for group, name, _ in OPTIONS]


def explained(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["explain", *words]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["explain", *words]) == 2
    return capsys.readouterr().err


def test_every_option_has_its_section_and_every_section_its_option() -> None:
    missing, left_over = [], []
    for group in GROUPS:
        written = set(option_pages.sections(option_pages.page(group))) - {"", SHARED}
        there = set(options(group, FOLDERS))
        missing += [f"{group}={name}" for name in there - written if group not in OWN_HEAD]
        left_over += [f"{group}={name}" for name in written - there]
    assert not missing, f"docs/options/ has no section for {', '.join(sorted(missing))}"
    assert not left_over, f"docs/options/ explains what there is not: {', '.join(left_over)}"
    assert set(PAGES) <= {*GROUPS, CONFIG, PUBLISHED}


@pytest.mark.parametrize(("group", "name", "path"), OPTIONS, ids=IDS)
def test_a_section_names_the_keys_of_its_yaml_and_no_others(
    group: str, name: str, path: Path
) -> None:
    parts = option_pages.sections(option_pages.page(group))
    own, keys = option_pages.keys_in(parts[name]), set(option_pages.values_of(group, path))
    assert len(own) == len(set(own))
    assert set(own) <= keys, "keys that the YAML does not have"
    shared = set(option_pages.keys_in(parts.get(SHARED, "")))
    assert keys <= {*own, *shared}, "keys without a word"


def test_shared_keys_are_shared() -> None:
    for group in GROUPS:
        text = option_pages.sections(option_pages.page(group)).get(SHARED, "")
        values = [option_pages.values_of(group, path) for path in options(group, FOLDERS).values()]
        for key in option_pages.keys_in(text):
            assert sum(key in having for having in values) > 1, key


def test_the_keys_of_every_run_are_those_of_the_config() -> None:
    text = option_pages.page(CONFIG)
    assert option_pages.keys_in(text) == list(option_pages.config_values())


def test_the_keys_of_published_figures_are_those_of_the_rules() -> None:
    text = option_pages.page(PUBLISHED)
    assert option_pages.keys_in(text) == list(option_pages.published_keys())


@pytest.mark.parametrize("group", PAGES)
def test_pages_hold_todays_defaults(group: str) -> None:
    text = option_pages.page(group)
    assert text == option_pages.current(group), "out of date: python docs/write_values.py"
    assert "- `" not in re.sub(option_pages.KEY_LINE, "", text), "a line that is no line of a key"


@pytest.mark.parametrize("group", PAGES)
def test_equations_and_commands_fit_a_terminal_of_80_columns(group: str) -> None:
    for block in re.findall(
        r"^```\w*\n(.*?)^```", option_pages.page(group), re.DOTALL | re.MULTILINE
    ):
        assert max(map(len, block.splitlines())) <= 76


def test_every_key_is_explained_in_words() -> None:
    for group in PAGES:
        for item in option_pages.ITEM.finditer(option_pages.page(group)):
            assert len(item[2].split()) >= 2 or item[1] == "optimizer.amsgrad", item[0]


@pytest.mark.parametrize(("group", "name", "path"), OPTIONS, ids=IDS)
def test_a_section_says_how_to_see_it_at_work(group: str, name: str, path: Path) -> None:
    text = option_pages.of_option(group, name, path)
    (command,) = commands(text)
    chosen = " ".join(command).replace("[", " ").replace(",", " ").replace("=", " ").split()
    assert name in chosen or name in ("auto", "mlp")


def commands(text: str) -> Iterator[list[str]]:
    """The words of the commands in the shell blocks of a text."""
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", "").splitlines():
            words = shlex.split(line)
            assert words.pop(0) == "exprun"
            yield words


def corners(overrides: list[str]) -> list[list[str]]:
    """Jobs of a search's command that have every value of its space once."""
    spaces = [word for word in overrides if word.startswith("space=")]
    params = compose("config", spaces, return_hydra_config=True).hydra.sweeper.params or {}
    words = [*(f"{key}={value}" for key, value in params.items()), *overrides]
    words = [word for word in words if not word.startswith(("hydra/sweeper", "space="))]
    loader = GlobalHydra.instance().config_loader()
    space = parse(words, loader)
    master = compose("config", return_hydra_config=True)
    return Composer(loader, master).without_conditional(list(map(space.words, space.corners())))


def test_every_command_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(str(conf_dir()), job_name="exprun", **VERSION_BASE):
        for group in PAGES:
            for words in commands(option_pages.page(group)):
                overrides = [word for word in words if not word.startswith("-")]
                for word in overrides:
                    if re.match(r"[\w.]*path=", word):
                        (tmp_path / word.partition("=")[2]).touch()
                search = "hydra/sweeper=search" in overrides
                jobs = corners(overrides) if search else expand(overrides)
                assert (len(jobs) > 1) == ("-m" in words), words
                launcher = "hydra/launcher=", "hydra.launcher."
                shown = [word for word in jobs[-1] if not word.startswith(launcher)]
                check(compose("config", shown))


def test_an_option_in_the_terminal_has_its_defaults_from_the_yaml(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = explained(capsys, "optimizer=adamw")
    values = option_pages.values_of("optimizer", conf_dir() / "optimizer" / "adamw.yaml")
    assert len(values) == 5
    for key, value in values.items():
        assert text.count(f"- `{key}={spelled(value)}`") == 1


def test_several_topics_and_combined_options(capsys: pytest.CaptureFixture[str]) -> None:
    text = explained(capsys, "reg=[l2,dropout]", "norm", "seed")
    titles = re.findall(r"^# (.*)$", text, re.MULTILINE)
    assert titles == ["reg=l2", "reg=dropout", "norm", "seed"]


def test_a_group_lists_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    text = explained(capsys, "scheduler")
    for name in options("scheduler", FOLDERS):
        assert re.search(rf"^- \*\*{name}\*\*: .+", text, re.MULTILINE)
    assert "scheduler.warmup_epochs=0" in text


def test_a_key_by_its_full_name_its_own_name_or_what_is_above_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    full, own = explained(capsys, "optimizer.betas"), explained(capsys, "betas")
    assert "optimizer=adam" in full
    assert full in own
    assert explained(capsys, "optimizer.betas=[0.9,0.99]") == full
    assert re.findall(r"^# (.*)$", explained(capsys, "trainer"), re.MULTILINE) == [
        "trainer.max_epochs",
        "trainer.threads",
        "trainer.engine",
    ]


def test_an_options_name_alone_will_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(capsys, "adam") == explained(capsys, "optimizer=adam")
    both = explained(capsys, "mlp")
    assert "# model=mlp" in both
    assert "# problem=mlp" in both


def test_nothing_asked_is_everything_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    text = explained(capsys)
    for group in GROUPS:
        assert f"**{group}**: " in text


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["optimizer=adamm"], "explain optimizer=adamm: no such option; did you mean adam?"),
        (["optimzer"], "explain optimzer: no such group, option or key; did you mean optimizer?"),
        (["drpout"], "did you mean dropout?"),
        (["optimizer.lrr"], "did you mean optimizer.lr?"),
        (["nesterof=1"], "did you mean nesterov?"),
        (["--folder"], "expected exprun explain"),
        (["-cd", "nowhere", "optimizer"], "--config-dir: there is no folder nowhere"),
    ],
)
def test_wrong_names_get_the_nearest_right_one(
    words: list[str], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, *words)
    assert answer in said
    assert said.count("\n") == 1


def test_a_users_own_option_is_explained_by_its_yaml(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text(
        "# resilient propagation\n# (Riedmiller & Braun 1993)\n"
        "_target_: torch.optim.Rprop\nlr: 0.01\netas: [0.5, 1.2]\n"
    )
    text = explained(capsys, "-cd", str(tmp_path), "optimizer=mine")
    assert "resilient propagation  \n(Riedmiller & Braun 1993)\n" in text
    assert "`torch.optim.Rprop`" in text
    assert "- `optimizer.lr=0.01` (a number above 0)" in text
    assert "- `optimizer.etas=[0.5,1.2]`" in text
    assert "**mine**: resilient propagation" in explained(capsys, "-cd", str(tmp_path), "optimizer")
    assert "mine" in explained(capsys, "-cd", str(tmp_path), "etas")


def test_a_preset_is_explained_by_its_head_and_what_it_chooses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "fast.yaml").write_text(
        "# @package _global_\n# exprun experiment=fast\n# 2 s; accuracy 0.9\n"
        "defaults:\n  - override /optimizer: adam\n  - override /reg: [l2, dropout]\n"
        "trainer:\n  max_epochs: 3\n"
    )
    text = explained(capsys, "-cd", str(tmp_path), "experiment=fast")
    for line in ("2 s; accuracy 0.9", "`optimizer=adam`", "`reg=[l2,dropout]`"):
        assert line in text
    assert "- `trainer.max_epochs=3` (a whole number of at least 1)" in text


def test_no_torch_and_in_a_pipe_no_rich() -> None:
    code = """
import sys
from exprun.cli import main
main(["explain", "optimizer=adam", "optimizer", "lr"])
heavy = {"torch", "numpy", "rich", "sklearn", "matplotlib"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
