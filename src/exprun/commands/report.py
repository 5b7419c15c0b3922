"""``exprun report``: the results of sweeps as one self-contained HTML page, and as figure files."""

from __future__ import annotations

import math
import os
import shlex
from pathlib import Path

from exprun.commands import Parser, check_output, positive
from exprun.common.errors import UsageError
from exprun.record.files import write_atomic
from exprun.report.contents import report
from exprun.report.figures import write_figures
from exprun.report.page import html
from exprun.sweeps.read_results import check_sweep, read_results

PAGE = "report.html"
"""Default name of the page, in the folder of the last sweep given."""


def main(words: list[str]) -> int:
    parser = Parser("report", "What sweeps say, as one HTML page that needs no network.")
    parser.add_argument("sweeps", type=Path, nargs="+", metavar="SWEEP")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help=f"default: SWEEP/{PAGE}")
    parser.add_argument(
        "--figures", type=Path, metavar="DIR", help="each figure and table as files, for a paper"
    )
    parser.add_argument("--metric", help="what it is about; default: the accuracy of the test part")
    parser.add_argument("--baseline", metavar="KEY=VALUE,…", help="what all else is compared with")
    parser.add_argument(
        "--delta", type=positive, metavar="X", help="the difference that does not matter"
    )
    arguments = parser.parse_args(words)
    if arguments.output:
        check_output(arguments.output, (".html",))
    if arguments.figures and arguments.figures.exists() and not arguments.figures.is_dir():
        raise UsageError(f"--figures {arguments.figures}: is a file; expected a folder")
    for sweep in arguments.sweeps:
        shown = f"its curves are shown by exprun plot {shlex.quote(str(sweep))}"
        check_sweep(sweep, str(sweep), single=shown)
    results = read_results(arguments.sweeps)
    folder = arguments.sweeps[-1]
    made = report(
        results, os.path.relpath(folder), arguments.metric, arguments.baseline, arguments.delta
    )
    output = arguments.output or folder / PAGE
    content = html(made.page).encode()
    write_atomic(output, content)
    print(f"{output}: {len(made.views)} figures, {math.ceil(len(content) / 1000)} kB")
    if arguments.figures:
        files = write_figures(arguments.figures, made.views, made.tables)
        print(f"{arguments.figures}: {len(files)} files")
    return 0
