"""Drawings made of a few simple shapes, written as SVG for a page or a file, and as PDF.

Coordinates are pixels from the upper left corner. A colour is a name of ``PALETTE`` or ``#rrggbb``;
the page defines the named colours by CSS, so that one drawing serves light and dark mode.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

SERIES = ("s0", "s1", "s2", "s3", "s4", "s5", "s6")
"""Colours of series, in order of use: close to those of Okabe and Ito (2008), which colour-blind
readers can tell apart, but without their yellow, which is hard to see on white."""

PALETTE = {
    "s0": "#0068a8",
    "s1": "#d04a00",
    "s2": "#00936a",
    "s3": "#c8709f",
    "s4": "#dd9a10",
    "s5": "#4aaee6",
    "s6": "#2f3640",
    "ink": "#1c1f24",
    "muted": "#5b626c",
    "other": "#9aa1ab",
    "grid": "#e3e6ea",
    "surface": "#ffffff",
}
"""Colours of pages in light mode and of files."""

DARK = {
    "s0": "#3d9be0",
    "s1": "#f2702f",
    "s2": "#25b389",
    "s3": "#e08cbf",
    "s4": "#f2c84f",
    "s5": "#9fdcfb",
    "s6": "#f2f4f7",
    "ink": "#e8eaed",
    "muted": "#a9b0ba",
    "other": "#6c7480",
    "grid": "#343a42",
    "surface": "#17191d",
}
"""Colours of pages in dark mode."""

DASHES = ((), (5.0, 2.5), (1.5, 2.0), (8.0, 2.5, 1.5, 2.5))
"""Dash patterns: lengths of strokes and gaps, in pixels."""

FONT_SIZE = 12.0

EDGE = 3.0
"""Margin in pixels left of 0, because the widths of texts are estimates."""

Point = tuple[float, float]
Paint = Callable[["Shape"], str]
"""Returns the attributes that style a shape's SVG element."""


@dataclass(frozen=True)
class Line:
    """A line through points, interrupted at nan."""

    points: Sequence[Point]
    color: str = "ink"
    dash: int = 0
    width: float = 1.5


@dataclass(frozen=True)
class Area:
    """A filled polygon."""

    points: Sequence[Point]
    color: str = "ink"
    opacity: float = 1.0


@dataclass(frozen=True)
class Dot:
    """A filled circle or, if ``hollow``, its outline."""

    x: float
    y: float
    radius: float = 3.0
    color: str = "ink"
    hollow: bool = False
    opacity: float = 1.0


@dataclass(frozen=True)
class Text:
    """One line of text; ``anchor`` is ``start``, ``middle`` or ``end``; a ``halo`` keeps it
    readable where lines cross it."""

    x: float
    y: float
    words: str
    anchor: str = "start"
    color: str = "ink"
    size: float = FONT_SIZE
    bold: bool = False
    halo: bool = False


@dataclass(frozen=True)
class Group:
    """Shapes of one configuration, whose number a page uses to highlight it, with a ``title`` as
    tooltip; clipped to ``clip`` (left, upper, right, lower)."""

    shapes: Sequence[Shape]
    configuration: int | None = None
    title: str = ""
    clip: tuple[float, float, float, float] | None = None


Shape = Line | Area | Dot | Text | Group


@dataclass
class Drawing:
    """Shapes on an area of ``width`` × ``height`` pixels; ``label`` is the text for screen
    readers."""

    width: float
    height: float
    label: str
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        """Add shapes on top of the existing ones."""
        self.shapes.extend(shapes)

    def inline_svg(self) -> str:
        """The drawing as an SVG element of a page with the style sheet ``style_sheet()``."""
        return self._svg(_with_classes)

    def svg(self) -> str:
        """The drawing as an SVG file on white, which needs no style sheet."""
        background = Area(_box(-EDGE, 0, self.width, self.height), "surface")
        body = self._svg(_with_attributes, before=[background])
        return body.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"

    def pdf(self) -> bytes:
        """The drawing as a one-page PDF, with its font embedded."""
        return _pdf(self)

    def _svg(self, paint: Paint, before: Sequence[Shape] = ()) -> str:
        width, height = _number(self.width + EDGE), _number(self.height)
        box = f"{_number(-EDGE)} 0 {width} {height}"
        size = f'width="{width}" height="{height}"'
        shapes = "".join(_element(shape, paint) for shape in [*before, *self.shapes])
        font = "" if paint is _with_classes else f' font-family="{FONT}"'
        return (
            f'<svg viewBox="{box}" {size} role="img" aria-label="{escape(self.label)}"{font}>'
            f"{shapes}</svg>"
        )


NARROW = set("ijlt.,:;'|!()[] fr-")


def text_width(words: str, size: float = FONT_SIZE) -> float:
    """An estimate of the width of a text in pixels; the actual font is chosen by the reader's
    system."""
    narrow = sum(character in NARROW for character in words)
    wide = sum(character in "mwMW@%" for character in words)
    return size * (0.64 * (len(words) - narrow) + 0.37 * narrow + 0.3 * wide)


def style_sheet() -> str:
    """The CSS for ``inline_svg``: a class for each name of the palette and each kind of shape."""
    names = "".join(f".{name}{{color:var(--{name})}}" for name in PALETTE)
    dashes = "".join(
        f".d{i}{{stroke-dasharray:{' '.join(map(_number, dash))}}}"
        for i, dash in enumerate(DASHES)
        if dash
    )
    return (
        f"svg text{{fill:currentColor;font-size:{_number(FONT_SIZE)}px}}"
        "svg .m{text-anchor:middle}svg .e{text-anchor:end}svg .h{font-weight:600}"
        "svg path,svg circle{fill:currentColor}"
        "svg .l{fill:none;stroke:currentColor;stroke-width:1.5;stroke-linejoin:round}"
        f"svg .o{{fill:none;stroke:currentColor;stroke-width:1.5}}"
        f"svg .k{{paint-order:stroke;stroke:var(--surface);stroke-width:3px}}{names}{dashes}"
    )


# --- SVG ---


def _with_classes(shape: Shape) -> str:
    """The style of a shape as classes of ``style_sheet``."""
    color = getattr(shape, "color", "")
    names = [color] if color in PALETTE else []
    styles = [] if color in PALETTE else [f"color:{color}"]
    if isinstance(shape, Line):
        names += ["l"] + ([f"d{shape.dash}"] if shape.dash else [])
        if shape.width != Line.width:
            styles.append(f"stroke-width:{_number(shape.width)}")
    elif isinstance(shape, Text):
        names += [{"start": "", "middle": "m", "end": "e"}[shape.anchor]]
        names += (["h"] if shape.bold else []) + (["k"] if shape.halo else [])
        if shape.size != FONT_SIZE:
            styles.append(f"font-size:{_number(shape.size)}px")
    elif isinstance(shape, Dot) and shape.hollow:
        names.append("o")
    if isinstance(shape, Area | Dot) and shape.opacity != 1:
        styles.append(f"opacity:{_number(shape.opacity, 2)}")
    style = f' style="{";".join(styles)}"' if styles else ""
    return f' class="{" ".join(filter(None, names))}"{style}'


def _with_attributes(shape: Shape) -> str:
    """The style of a shape as SVG attributes, which every SVG reader supports."""
    color = PALETTE.get(getattr(shape, "color", ""), getattr(shape, "color", ""))
    outline = f' fill="none" stroke="{color}" stroke-width='
    if isinstance(shape, Line):
        dash = " ".join(map(_number, DASHES[shape.dash]))
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        return f'{outline}"{_number(shape.width)}" stroke-linejoin="round"{dashes}'
    if isinstance(shape, Text):
        weight = ' font-weight="600"' if shape.bold else ""
        halo = f' paint-order="stroke" stroke="{PALETTE["surface"]}" stroke-width="3"'
        return (
            f' fill="{color}" font-size="{_number(shape.size)}" text-anchor="{shape.anchor}"'
            f"{weight}{halo if shape.halo else ''}"
        )
    opacity = getattr(shape, "opacity", 1.0)
    faint = f' opacity="{_number(opacity, 2)}"' if opacity != 1 else ""
    if isinstance(shape, Dot) and shape.hollow:
        return f'{outline}"1.5"{faint}'
    return f' fill="{color}"{faint}'


def _element(shape: Shape, paint: Paint) -> str:
    if isinstance(shape, Group):
        return _group(shape, paint)
    painted = paint(shape)
    if isinstance(shape, Line):
        return f'<path{painted} d="{_path(shape.points)}"/>'
    if isinstance(shape, Area):
        return f'<path{painted} d="{_path(shape.points)}z"/>'
    if isinstance(shape, Dot):
        place = f'cx="{_number(shape.x)}" cy="{_number(shape.y)}" r="{_number(shape.radius)}"'
        return f"<circle{painted} {place}/>"
    x, y = _number(shape.x), _number(shape.y)
    return f'<text{painted} x="{x}" y="{y}">{escape(shape.words)}</text>'


def _group(group: Group, paint: Paint) -> str:
    number = "" if group.configuration is None else f' data-c="{group.configuration}"'
    title = f"<title>{escape(group.title)}</title>" if group.title else ""
    inner = "".join(_element(shape, paint) for shape in group.shapes)
    if group.clip is not None:
        left, top, right, bottom = group.clip
        x, y, w, h = map(_number, (left, top, right - left, bottom - top))
        return (
            f'<svg x="{x}" y="{y}" width="{w}" height="{h}" viewBox="{x} {y} {w} {h}"{number}>'
            f"{title}{inner}</svg>"
        )
    return f"<g{number}>{title}{inner}</g>"


FARTHEST = 1e6
"""Largest coordinate in pixels; farther points are moved towards the origin, in the same direction,
because browsers refuse coordinates that do not fit in a float32."""


def _path(points: Iterable[Point]) -> str:
    """The ``d`` attribute of a path, as relative steps rounded to tenths of a pixel, half as long
    as absolute coordinates; rounding errors do not accumulate."""
    words = []
    at: tuple[int, int] | None = None
    command = ""
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            at = None
            continue
        far = max(abs(x), abs(y), FARTHEST) / FARTHEST
        tenths = (round(10 * x / far), round(10 * y / far))
        if at is None:
            words.append(f"M{_number(tenths[0] / 10)},{_number(tenths[1] / 10)}")
            command = "l"
        else:
            step = f"{_number((tenths[0] - at[0]) / 10)},{_number((tenths[1] - at[1]) / 10)}"
            words.append(f"{command}{step}")
            command = " "
        at = tenths
    return "".join(words)


def _number(value: float, digits: int = 1) -> str:
    """The shortest SVG spelling of a number: ``1.5``, ``2``, ``-.3``."""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"
    if text in ("-0", ""):
        return "0"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


# --- PDF ---


def _pdf(drawing: Drawing) -> bytes:
    """The PDF by matplotlib: a figure whose only axes cover the page, in pixels of 1/96 inch."""
    from exprun.common import font_cache  # noqa: F401, I001  # set before matplotlib is imported
    from matplotlib import rc_context
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.figure import Figure

    with rc_context({"pdf.fonttype": 42, "font.family": "sans-serif"}):
        figure = Figure(figsize=((drawing.width + EDGE) / 96, drawing.height / 96))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(-EDGE, drawing.width)
        axes.set_ylim(drawing.height, 0)
        for order, (shape, clip) in enumerate(_flat(drawing.shapes)):
            artist = _artist(shape)
            artist.set_zorder(order)
            axes.add_artist(artist)
            if clip is not None:
                left, top, right, bottom = clip
                from matplotlib.patches import Rectangle

                area = Rectangle((left, top), right - left, bottom - top, transform=axes.transData)
                artist.set_clip_path(area)
            else:
                artist.set_clip_on(False)
        content = io.BytesIO()
        FigureCanvasPdf(figure)
        figure.savefig(content, format="pdf", metadata={"CreationDate": None})
    return content.getvalue()


def _flat(
    shapes: Iterable[Shape], clip: tuple[float, float, float, float] | None = None
) -> Iterator[tuple[Line | Area | Dot | Text, tuple[float, float, float, float] | None]]:
    """The shapes inside all groups, each with its clip area or None."""
    for shape in shapes:
        if isinstance(shape, Group):
            yield from _flat(shape.shapes, shape.clip or clip)
        else:
            yield shape, clip


POINTS = 72 / 96
"""Points per pixel: matplotlib's widths and sizes are in points."""


def _artist(shape: Line | Area | Dot | Text) -> Any:
    """The matplotlib artist of a shape."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Circle, Polygon
    from matplotlib.patheffects import withStroke
    from matplotlib.text import Text as Words

    color = PALETTE.get(shape.color, shape.color)
    if isinstance(shape, Line):
        x, y = zip(*shape.points, strict=True)
        line = Line2D(x, y, color=color, linewidth=shape.width * POINTS, solid_capstyle="butt")
        if DASHES[shape.dash]:  # in units of the line's width
            line.set_dashes([length / shape.width for length in DASHES[shape.dash]])
        return line
    if isinstance(shape, Area):
        return Polygon(shape.points, color=color, alpha=shape.opacity, linewidth=0)
    if isinstance(shape, Dot):
        width = 1.5 * POINTS if shape.hollow else 0.0
        paint: dict[str, Any] = {"edgecolor": color, "linewidth": width, "alpha": shape.opacity}
        paint["facecolor"] = "none" if shape.hollow else color
        return Circle((shape.x, shape.y), shape.radius, **paint)
    sides = {"start": "left", "middle": "center", "end": "right"}
    return Words(
        shape.x,
        shape.y,
        shape.words,
        color=color,
        fontsize=shape.size * POINTS,
        fontweight="bold" if shape.bold else "normal",
        ha=sides[shape.anchor],
        va="baseline",
        parse_math=False,
        path_effects=[withStroke(linewidth=3 * POINTS, foreground=PALETTE["surface"])]
        if shape.halo
        else None,
    )
