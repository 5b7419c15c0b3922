"""Charts whose texts lie within them, whatever the names are."""

from collections.abc import Iterator, Sequence

import pytest

from exprun.report.charts import WIDTH, Curve, Estimate, Key, Look, dots, heat_map, lines
from exprun.report.drawing import Drawing, Group, Shape, Text, text_width


def texts(shapes: Sequence[Shape]) -> Iterator[Text]:
    for shape in shapes:
        if isinstance(shape, Text):
            yield shape
        elif isinstance(shape, Group):
            yield from texts(shape.shapes)


def beyond(drawing: Drawing) -> list[str]:
    """The texts that begin or end outside of a drawing."""
    share = {"start": 0.0, "middle": 0.5, "end": 1.0}
    lefts = {t: t.x - share[t.anchor] * text_width(t.words) for t in texts(drawing.shapes)}
    found = []
    for text, left in lefts.items():
        if left < -1 or left + text_width(text.words) > WIDTH + 1:
            found.append(text.words)
    return found


@pytest.mark.parametrize("length", [1, 10, 30, 45, 70, 200])
def test_no_name_is_cut_off(length):
    name = "x" * length
    row = Estimate(name, 0.5, 0.25, 0.75)
    assert not beyond(dots([row, row], "accuracy", legend=[Key(name, Look("s1"))]))
    cells = [[0.1, 0.2], [0.3, 0.4]]
    assert not beyond(heat_map([name, "b"], [name, "c"], cells, name, "column", "accuracy"))
    curve = Curve(name, Look("s1"), [1, 2], [0.1, 0.2])
    assert not beyond(lines([curve], "epoch", "loss", legend=[Key(name, Look("s1"))]))
