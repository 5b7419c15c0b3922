"""``exprun explain``: the documentation of a group, an option or a key, in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from exprun.commands import Parser, option_pages
from exprun.commands.option_pages import CONFIG, HYDRA, PUBLISHED
from exprun.common.errors import UsageError, choices, nearest
from exprun.config.options import groups, options
from exprun.config.paths import conf_dir

WIDEST = 88
"""Most columns of the output; longer lines are hard to read."""


def main(words: list[str]) -> int:
    parser = Parser("explain", "Explain options, groups of them, and keys: equation, keys, source.")
    parser.add_argument(
        "topics",
        nargs="*",
        metavar="GROUP=OPTION|GROUP|KEY",
        help="what to explain, like optimizer=adam, optimizer, optimizer.lr; nothing: all groups",
    )
    parser.add_argument("-cd", "--config-dir", type=Path, metavar="DIR", help="your own options")
    arguments = parser.parse_args(words)
    own = arguments.config_dir
    if own is not None and not own.is_dir():
        raise UsageError(f"--config-dir: there is no folder {own}")
    folders = [conf_dir(), *([own] if own else [])]
    texts = [text for topic in arguments.topics for text in explain(topic, folders)]
    show("\n\n".join(texts or [_overview(folders)]))
    return 0


def explain(topic: str, folders: Sequence[Path]) -> Iterator[str]:
    """The texts about ``group=option``, ``group=[option,option]``, a group, an option without its
    group, or a key. Raises UsageError for any other topic."""
    known = [*groups(folders), *HYDRA, CONFIG, PUBLISHED]
    group, equals, chosen = topic.partition("=")
    files = options(group, folders)
    if equals and files:
        for name in chosen.strip("[]").split(","):
            if name not in files:
                hint = nearest(name, files)
                raise UsageError(f"explain {topic}: no such option{hint} ({choices(files)})")
            yield option_pages.of_option(group, name, files[name])
        return
    if topic in known:
        yield option_pages.of_group(topic, folders)
        return
    having = {g: found for g in known if (found := options(g, folders)).keys() & {topic}}
    if having and not equals:
        for group, files in having.items():
            yield option_pages.of_option(group, topic, files[topic])
        return
    text = option_pages.of_key(group, folders, known)
    if text is None:
        names = [*known, *(name for g in known for name in options(g, folders))]
        hint = nearest(group, [*names, *option_pages.all_keys(folders, known)])
        raise UsageError(
            f"explain {topic}: no such group, option or key{hint} "
            f"(groups: {', '.join(known)}; keys: exprun --cfg job)"
        )
    yield text


def _overview(folders: Sequence[Path]) -> str:
    """The page without a topic: all groups with their options."""
    lines = [
        f"- **{group}**: {', '.join(options(group, folders))}"
        for group in [*groups(folders), *HYDRA]
    ]
    usage = "`exprun explain optimizer=adam`, `exprun explain optimizer`, `exprun explain lr`"
    return "\n".join(
        [
            "# What can be explained",
            "",
            *lines,
            f"- **{CONFIG}**: the keys of every run",
            f"- **{PUBLISHED}**: the figures that a preset is compared with",
            "",
            usage,
        ]
    )


def show(markdown: str) -> None:
    """Print the text: rendered in a terminal, as plain Markdown in a pipe or a file."""
    if not sys.stdout.isatty():
        print(markdown)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    console.print(
        Markdown(markdown, code_theme="ansi_dark", justify="left"),
        width=min(console.width, WIDEST),
    )
