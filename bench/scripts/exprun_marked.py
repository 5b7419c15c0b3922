"""``exprun …``, and how far it was when: the first argument is the file for that.

What exprun does is as ever; torch is only imported one line before exprun would do it. Times are
seconds on the clock that all processes share.
"""

import functools
import sys
import time
from collections.abc import Callable
from typing import Any

MARKS = [("python", time.monotonic())]


def mark(name: str) -> None:
    """Whatever was done since the last mark has this name."""
    MARKS.append((name, time.monotonic()))


def marking(function: Callable[..., Any], before: str = "", after: str = "") -> Callable[..., Any]:
    """The function, with marks."""

    @functools.wraps(function)
    def marked(*arguments: Any, **keywords: Any) -> Any:
        if before:
            mark(before)
        result = function(*arguments, **keywords)
        if after:
            mark(after)
        return result

    return marked


def task(config: Any) -> Any:
    """What Hydra runs."""
    mark("import of Hydra, composing, checking")
    import torch  # noqa: F401

    mark("import of torch")
    from exprun import build, run

    mark("import of exprun's parts and what else they need")
    build.load_data = marking(build.load_data, after="data")
    run.fit = marking(run.fit, before="model, optimizer, files", after="training")
    result = original(config)
    mark("test part, checkpoint, model, result")
    return result


file, *words = sys.argv[1:]
from exprun import cli  # noqa: E402

original = cli._task
cli._task = functools.wraps(original)(task)
code = cli.main(words)
mark("summary")
with open(file, "w") as out:  # noqa: PTH123
    for name, seconds in MARKS:
        print(seconds, name, file=out)
sys.exit(code)
