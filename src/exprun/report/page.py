"""The page of a report: one self-contained HTML file, complete even without its script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from exprun.report.drawing import DARK, PALETTE, style_sheet
from exprun.report.markup import Markup, join, tag
from exprun.report.study import Table, View


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers are right-aligned."""

    name: str
    is_number: bool


@dataclass(frozen=True)
class Row:
    """A configuration's row in the table: its number and look, and a cell for each column."""

    number: int
    color: str
    dash: int
    cells: Sequence[str | int | None]


@dataclass(frozen=True)
class Section:
    """A part of the page: ``html``, then charts. ``command`` makes its figures, except those whose
    names are in ``commands``."""

    name: str
    title: str
    html: Markup | None = None
    views: Sequence[View] = ()
    command: str = ""
    commands: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """The contents of the page: ``verdict`` answers the ``question``, ``asked`` describes the
    design of the sweep, ``warnings`` are shown before the figures."""

    kicker: str
    question: str
    asked: str
    verdict: Markup
    warnings: Sequence[str]
    sections: Sequence[Section]
    footer: str


def html(page: Page) -> str:
    """The page as HTML text."""
    sections = [section for section in page.sections if section.html or section.views]
    links = (tag("li", tag("a", s.title, href=f"#{s.name}")) for s in sections)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", page.question),
        tag("link", rel="icon", href="data:,"),  # else browsers request one from the server
        tag("style", Markup(_style())),
    )
    header = tag(
        "header",
        tag("p", page.kicker, class_="kicker"),
        tag("h1", page.question),
        tag("p", page.asked, class_="muted"),
        tag("div", page.verdict, class_="verdict"),
        *(tag("p", words, class_="warning") for words in page.warnings),
        tag("nav", tag("ul", *links), aria_label="Sections"),
    )
    main = tag("main", *map(_section, sections))
    script = tag("script", Markup(_resource("page.js")))
    body = tag("body", header, main, tag("footer", tag("p", page.footer)), script)
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _resource(name: str) -> str:
    return files("exprun.report").joinpath(name).read_text(encoding="utf-8").strip()


def _style() -> str:
    light = _variables(PALETTE | {"panel": "#f4f6f8"})
    dark = _variables(DARK | {"panel": "#22262c"})
    return (
        f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f"{style_sheet()}\n{_resource('page.css')}"
    )


def _variables(colors: Mapping[str, str]) -> str:
    return ";".join(f"--{name}:{color}" for name, color in colors.items())


def _section(section: Section) -> Markup:
    figures = [
        _figure(view, section.commands.get(view.name, section.command)) for view in section.views
    ]
    return tag(
        "section",
        tag("h2", section.title, id=f"{section.name}-title"),
        section.html,
        _made_by(section.command) if section.html and section.command else None,
        tag("div", *figures, class_="charts") if figures else None,
        id=section.name,
        aria_labelledby=f"{section.name}-title",
    )


def _made_by(command: str) -> Markup:
    return tag("p", "Command: ", tag("code", command), class_="muted")


def _figure(view: View, command: str) -> Markup:
    caption = tag(
        "figcaption", view.caption, " Figure ", tag("code", view.name), " of ", tag("code", command)
    )
    return tag(
        "figure",
        tag("h3", view.title),
        Markup(view.drawing.inline_svg()),
        caption,
        id=f"figure-{view.name}",
    )


def configurations_table(columns: Sequence[Column], rows: Sequence[Row], caption: str) -> Markup:
    """The table of configurations, with the controls by which the script filters and sorts it."""
    field = tag("input", type="search", placeholder="adam dropout", autocomplete="off")
    tools = tag(
        "div",
        tag("label", "Filter ", field),
        tag("span", id="count", role="status"),
        tag("button", "Clear highlights", type="button", id="clear", hidden=True),
        class_="tools",
        id="tools",
        hidden=True,
    )
    body = []
    for row in rows:
        dash = f" d{row.dash}" if row.dash else ""
        swatch = tag("span", class_=f"swatch {row.color}{dash}", aria_hidden="true")
        first = tag("td", swatch, row.cells[0])
        others = map(_cell, row.cells[1:], columns[1:])
        body.append(tag("tr", first, *others, data_c=row.number))
    return join(tools, _captioned(_table(columns, body), caption))


def plain_table(table: Table, caption: str) -> Markup:
    """A table without controls, with a caption."""
    columns = columns_of(table)
    rows = [
        tag("tr", *(_cell(shown(cell), c) for cell, c in zip(row, columns, strict=True)))
        for row in table.rows
    ]
    return _captioned(_table(columns, rows), caption)


def columns_of(table: Table) -> list[Column]:
    """The columns of a table; a column without any text is numeric."""
    return [
        Column(name, not any(isinstance(row[i], str) for row in table.rows))
        for i, name in enumerate(table.columns)
    ]


def _table(columns: Sequence[Column], rows: Sequence[Markup]) -> Markup:
    head = [tag("th", c.name, scope="col", class_="n" if c.is_number else None) for c in columns]
    return tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows))


def _cell(words: str | int | None, column: Column) -> Markup:
    return tag("td", words, class_="n" if column.is_number else None)


def _captioned(table: Markup, caption: str) -> Markup:
    """A table with a caption; a table that is too wide scrolls by itself, also by keyboard, while
    the caption stays."""
    scrolled = tag("div", table, class_="scroll", role="region", aria_label=caption, tabindex=0)
    return join(tag("p", caption, class_="caption"), scrolled)


def shown(value: str | float | int | None, decimals: int | None = None) -> str | int | None:
    """A cell as the page shows it: floats with ``decimals``, or with four, fewer for values from
    1000 and three significant digits for very large or small ones."""
    if not isinstance(value, float):
        return value
    size = abs(value)
    if decimals is not None or size == 0 or 0.001 <= size < 1000:
        return f"{value:.{4 if decimals is None else decimals}f}"
    return f"{value:.1f}" if 1000 <= size < 100_000 else f"{value:.3g}"
