"""HTML from Python values: whatever is not ``Markup`` is escaped."""

from __future__ import annotations

from html import escape

VOID = {"meta", "link", "br", "input"}
"""Elements without content, and without an end tag."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | float | None
Attribute = str | int | bool | None


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """``<name attributes>children</name>``; None is left out, ``True`` is an attribute without a
    value. ``class_`` is ``class``, other underscores are hyphens: ``aria_label``."""
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        spelled = key.rstrip("_").replace("_", "-")
        words.append(spelled if value is True else f'{spelled}="{escape(str(value))}"')
    start = f"<{' '.join(words)}>"
    return Markup(start if name in VOID else f"{start}{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Children one after the other."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else escape(str(child), quote=False)
            for child in children
            if child is not None
        )
    )
