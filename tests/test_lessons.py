"""The lessons: their commands are valid, and what those print and draw was not changed by hand."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator

import pytest
from docs.lessons import LESSONS, PICTURE, commands, names, sealed, stored_pictures
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from PIL import Image

from exprun.config.compose import Composer
from exprun.config.hydra_internals import VERSION_BASE
from exprun.config.paths import conf_dir
from exprun.config.schema import check
from exprun.config.sweep_overrides import expand

FOLDER = re.compile(r"hydra\.(run|sweep)\.dir=")
INDEX = (LESSONS / "README.md").read_text(encoding="utf-8")
PARTS = ("# ", "## Do it", "**What to see.**", "**What to try next.**", "## Exercise", "<details>")


@pytest.fixture(params=names())
def text(request: pytest.FixtureRequest) -> str:
    return (LESSONS / f"{request.param}.md").read_text(encoding="utf-8")


@pytest.fixture
def loader() -> Iterator[ConfigLoader]:
    with initialize_config_dir(str(conf_dir()), job_name="exprun", **VERSION_BASE):
        yield GlobalHydra.instance().config_loader()


def test_commands_are_valid(text: str, loader: ConfigLoader) -> None:
    """Each trains what can be trained, into a folder of its own that later ones read."""
    folders: list[str] = []
    for command in commands(text):
        program, *words = shlex.split(command)
        assert program == "exprun"
        if words[0] in ("plot", "compare"):
            assert words[1] in folders, command
            assert words[2::2] in ([], ["--metric"], ["--by"], ["--batches"])
            continue
        overrides = [word for word in words if word != "-m"]
        (folder,) = [word for word in overrides if FOLDER.match(word)]
        folders.append(FOLDER.sub("", folder))
        jobs = expand(overrides)
        assert (len(jobs) > 1) == ("-m" in words)
        composer = Composer(
            loader, loader.load_configuration("config", overrides, RunMode.MULTIRUN)
        )
        for job in composer.without_conditional(jobs):
            check(composer.config(job))
    assert len(set(folders)) == len(folders)


def test_what_the_commands_print_and_draw_is_what_the_script_wrote(text: str) -> None:
    assert sealed(text, stored_pictures(text)) == text, "out of date: python docs/lessons.py NAME"


def test_an_edited_figure_command_or_picture_is_seen(text: str) -> None:
    pictures = stored_pictures(text)
    for before, after in (
        ("95 %", "94 %"),
        ("exprun compare", "exprun  compare"),
        ("hydra.", "hydra.."),
    ):
        edited = text.replace(before, after, 1)
        assert sealed(edited, pictures) != edited
    other = {name: content + b"1" for name, content in pictures.items()}
    assert sealed(text, other) != text


def test_pictures_are_small_pngs(text: str) -> None:
    pictures = stored_pictures(text)
    assert pictures
    for name, content in pictures.items():
        assert len(content) < 150_000, name
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.format == "PNG"


def test_no_picture_is_left_over() -> None:
    pages = [(LESSONS / f"{name}.md").read_text(encoding="utf-8") for name in names()]
    shown = {picture for text in pages for picture in PICTURE.findall(text)}
    assert {path.relative_to(LESSONS).as_posix() for path in LESSONS.rglob("*.png")} == shown


def test_a_page_has_all_parts_in_their_order_and_is_short(text: str) -> None:
    places = [text.find(part) for part in PARTS]
    assert -1 not in places
    assert places == sorted(places)
    prose = re.sub(r"^```console\n.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert 25 <= len(prose.splitlines()) <= 60


def test_links_lead_somewhere(text: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (LESSONS / link).exists(), link


def test_the_index_has_a_line_on_each_lesson() -> None:
    assert sorted(re.findall(r"\]\((\w+)\.md\)", INDEX)) == names()
