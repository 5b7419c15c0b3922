"""Draw the layers of the house, ``docs/layers.svg``, from pyproject.toml and from the imports:
``python docs/layers.py``."""

import ast
import tomllib
from pathlib import Path

import grimp
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "exprun"
STYLE = {"font.family": "DejaVu Sans", "svg.hashsalt": "exprun", "svg.fonttype": "none"}
INK, FAINT, BOX, ARROW = "#22252b", "#6b7280", "#eef2f7", "#9aa7ba"


def layers() -> list[list[str]]:
    """The rooms of each layer, the highest first, as import-linter reads them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]


def described(room: str) -> tuple[str, int]:
    """The first sentence of a room's docstring, and its lines of code."""
    path = PACKAGE / room
    files = list(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    first = path / "__init__.py" if path.is_dir() else files[0]
    text = ast.get_docstring(ast.parse(first.read_text())) or ""
    sentence = " ".join(text.split("\n\n")[0].split()).replace("``", "")
    return sentence, sum(len(file.read_text().splitlines()) for file in files)


def imports(rooms: list[str]) -> set[tuple[str, str]]:
    """Which room imports which."""
    graph = grimp.build_graph("exprun", cache_dir=None)
    found = set()
    for room in rooms:
        for module in {f"exprun.{room}", *graph.find_descendants(f"exprun.{room}")}:
            for imported in graph.find_modules_directly_imported_by(module):
                other = imported.split(".")[1] if "." in imported else ""
                if other in rooms and other != room:
                    found.add((room, other))
    return found


def main() -> None:
    order = [room for layer in layers() for room in layer if room != "__main__"]
    height = 0.42
    y = {room: -height * i for i, room in enumerate(order)}
    with rc_context(STYLE):
        figure = Figure(figsize=(12.5, height * len(order) + 0.4))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        for room in order:
            sentence, lines = described(room)
            corner = (2.6, y[room] - 0.15)
            box = FancyBboxPatch(corner, 2.2, 0.3, "round,pad=0.02", fc=BOX, ec="#8a8f98", lw=0.7)
            axes.add_patch(box)
            name = room if (PACKAGE / room).is_dir() else f"{room}.py"
            axes.text(2.7, y[room], name, va="center", fontsize=9.5, weight="bold", color=INK)
            axes.text(4.75, y[room], f"{lines}", va="center", ha="right", fontsize=8, color=FAINT)
            short = sentence if len(sentence) <= 98 else sentence[:97].rsplit(" ", 1)[0] + " …"
            axes.text(4.95, y[room], short, va="center", fontsize=8.5, color=INK)
        for importer, imported in sorted(imports(order)):
            neighbors = order.index(imported) - order.index(importer) < 7
            arrow = {
                "arrowstyle": "-|>",
                "connectionstyle": f"arc3,rad={0.55 if neighbors else 0.42}",
                "color": ARROW,
                "lw": 0.6,
                "shrinkA": 0,
                "shrinkB": 0,
            }
            start, end = (2.56, y[importer] - 0.05), (2.56, y[imported] + 0.05)
            axes.annotate("", xy=end, xytext=start, arrowprops=arrow)
        axes.set_xlim(0, 12.5)
        axes.set_ylim(-height * len(order) + 0.1, 0.4)
        axes.axis("off")
        figure.savefig(ROOT / "docs" / "layers.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
