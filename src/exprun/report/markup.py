"""HTML from Python values; everything except ``Markup`` is escaped."""

from __future__ import annotations

from html import escape

VOID = {"meta", "link", "br", "input"}
"""Elements without content and end tag."""


class Markup(str):
    """Text that is already HTML and is not escaped."""

    __slots__ = ()


Child = str | int | float | None
Attribute = str | int | bool | None


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """``<name attributes>children</name>``; None is left out, ``True`` gives an attribute without a
    value. ``class_`` becomes ``class``, other underscores become hyphens: ``aria_label``."""
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        spelled = key.rstrip("_").replace("_", "-")
        words.append(spelled if value is True else f'{spelled}="{escape(str(value))}"')
    start = f"<{' '.join(words)}>"
    return Markup(start if name in VOID else f"{start}{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """The children concatenated, escaped unless they are Markup."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else escape(str(child), quote=False)
            for child in children
            if child is not None
        )
    )
