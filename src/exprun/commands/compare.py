"""``exprun compare``: which choice is better, by how much, and whether the difference is
significant."""

from __future__ import annotations

from pathlib import Path

from exprun.commands import Parser, keys, positive
from exprun.record.files import as_json
from exprun.sweeps.comparison.compare import compare
from exprun.sweeps.comparison.configurations_csv import write_configurations
from exprun.sweeps.comparison.files import as_data, write
from exprun.sweeps.comparison.table import show
from exprun.sweeps.read_results import read_results


def main(words: list[str]) -> int:
    parser = Parser("compare", "Which choice is better, by how much, and is that real?")
    parser.add_argument("folders", type=Path, nargs="+", metavar="SWEEP")
    parser.add_argument(
        "--by",
        type=keys,
        action="extend",
        metavar="KEY[,KEY]",
        help="what to compare; other factors are tuned by validation",
    )
    parser.add_argument("--metric", help="the figure that decides (default: of the test part)")
    parser.add_argument(
        "--baseline", metavar="KEY=VALUE", help="compare all with this one, and nothing else"
    )
    parser.add_argument(
        "--delta", type=positive, metavar="X", help="differences within ± X do not matter"
    )
    parser.add_argument("--json", action="store_true", help="print what comparison.json holds")
    arguments = parser.parse_args(words)
    results = read_results(list(dict.fromkeys(arguments.folders)))
    comparison = compare(
        results,
        arguments.by or [],
        arguments.metric,
        arguments.baseline,
        arguments.delta,
    )
    data = as_data(comparison)
    if arguments.json:
        print(as_json(data).decode(), end="")
    else:
        show(comparison)
    write(comparison, data)
    write_configurations(comparison)
    return 0
