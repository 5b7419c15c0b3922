"""Shapes as SVG and PDF."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from exprun.report.charts import Curve, Key, Look, lines
from exprun.report.drawing import (
    DARK,
    EDGE,
    PALETTE,
    SERIES,
    Area,
    Dot,
    Drawing,
    Group,
    Line,
    Text,
    style_sheet,
)

SHAPES = [
    Line([(0, 0), (10.04, 20)], "s1", dash=1),
    Area([(0, 0), (1, 1), (2, 0)], "#123456", 0.5),
    Dot(5, 5, hollow=True),
    Text(1, 2, "a < b & 'c'", "end", bold=True, halo=True),
    Group([Dot(1, 1), Text(0, 0, "µ ± σ")], configuration=3, title='"<1>"', clip=(0, 0, 9, 9)),
]


def drawing() -> Drawing:
    return Drawing(100, 50, 'label with "<>&', list(SHAPES))


def points(path: str) -> np.ndarray:
    """Where a path of ours goes: absolute starts, relative steps."""
    found: list[list[float]] = []
    for piece in re.findall(r"M[^M]+", path.rstrip("z")):
        start, _, steps = piece[1:].partition("l")
        found.append([float(v) for v in start.split(",")])
        for step in steps.split():
            found.append([a + float(b) for a, b in zip(found[-1], step.split(","), strict=True)])
    return np.array(found)


def test_both_kinds_of_svg_are_well_formed_and_say_the_same():
    inline, file = (ElementTree.fromstring(s) for s in (drawing().inline_svg(), drawing().svg()))
    assert inline.attrib["aria-label"] == file.attrib["aria-label"] == 'label with "<>&'
    assert [t.text for t in inline.iter("text")] == ["a < b & 'c'", "µ ± σ"]
    svg = "{http://www.w3.org/2000/svg}"
    assert [t.text for t in file.iter(f"{svg}text")] == ["a < b & 'c'", "µ ± σ"]
    assert inline.find(".//*[@data-c='3']/title").text == '"<1>"'  # type: ignore[union-attr]


def test_a_file_needs_no_style_sheet_and_a_page_none_but_ours():
    assert "class=" not in drawing().svg()
    assert "var(" not in drawing().svg()
    classes = set(" ".join(re.findall(r'class="([^"]*)"', drawing().inline_svg())).split())
    assert all(re.search(rf"\.{name}\b", style_sheet()) for name in classes)


def test_a_line_is_where_its_points_are_however_many_steps():
    rng = np.random.default_rng(0)
    wanted = np.cumsum(rng.normal(0, 0.33, (500, 2)), axis=0)
    text = Drawing(1, 1, "", [Line(wanted.tolist())]).inline_svg()
    (path,) = re.findall(r' d="([^"]*)"', text)
    assert points(path) == pytest.approx(wanted, abs=0.051)


def test_a_line_has_a_gap_where_there_is_no_value():
    shape = Line([(0, 0), (1, 1), (2, float("nan")), (3, 3), (4, 4)])
    (path,) = re.findall(r' d="([^"]*)"', Drawing(9, 9, "", [shape]).inline_svg())
    assert path == "M0,0l1,1M3,3l1,1"


def test_pdf_is_a_page_of_the_size_with_its_font(tmp_path):
    content = drawing().pdf()
    assert content.startswith(b"%PDF-")
    (box,) = re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", content)
    assert [float(v) for v in box] == pytest.approx([0.75 * (100 + EDGE), 0.75 * 50])
    assert b"/FontFile2" in content
    assert drawing().pdf() == content


BLINDNESS = {
    "none": np.eye(3),
    "deuteranopia": [
        *([0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413]),
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia": [
        *([0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216]),
        [-0.003882, -0.048116, 1.051998],
    ],
}
"""Machado, Oliveira and Fernandes (2009), table 1, severity 1: of linear RGB."""


def linear(color: str) -> np.ndarray:
    part = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear sRGB, D65."""
    xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    t = np.array(xyz) @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089]
    x, y, z = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(a: str, b: str) -> float:
    """WCAG 2.1: 3 is asked of graphics, 4.5 of text."""
    low, high = sorted(float(linear(color) @ [0.2126, 0.7152, 0.0722]) for color in (a, b))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [PALETTE, DARK], ids=["light", "dark"])
def test_colours_can_be_told_from_each_other_and_from_the_page(palette):
    for blind in BLINDNESS.values():
        seen = [lab(np.array(blind) @ linear(palette[name])) for name in SERIES]
        apart = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
        assert min(apart) > 15  # 2.3 is just noticeable
    assert all(contrast(palette[name], palette["surface"]) > 2.3 for name in SERIES)
    assert all(contrast(palette[name], palette["surface"]) > 4.5 for name in ("ink", "muted"))


def test_a_chart_draws_every_curve_and_names_it():
    curves = [
        Curve(f"run {i}", Look(SERIES[i]), [1, 2, 3], [0.1 * i, 0.2, 0.3], configuration=i)
        for i in range(3)
    ]
    keys = [Key(c.name, c.look) for c in curves]
    root = ElementTree.fromstring(lines(curves, "epoch", "loss", legend=keys).inline_svg())
    assert sorted(e.attrib["data-c"] for e in root.iter() if "data-c" in e.attrib) == [
        "0",
        "1",
        "2",
    ]
    words = [e.text for e in root.iter("text")]
    assert all(word in words for word in ("run 0", "run 1", "run 2", "epoch", "loss"))


def test_a_page_has_no_coordinate_that_a_browser_refuses():
    """A float32 holds up to 3e38; what lies far off keeps its direction."""
    shape = Line([(0, 100), (1e300, -2e300), (-1e40, 5)])
    (path,) = re.findall(r' d="([^"]*)"', Drawing(9, 9, "", [shape]).inline_svg())
    places = points(path)
    assert np.abs(places).max() < 1e7
    assert places[1, 1] / places[1, 0] == pytest.approx(-2, rel=1e-4)
