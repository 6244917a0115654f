"""HTML and SVG elements whose text is escaped unless it is markup already.

Owns escaping: whoever builds markup only through `element` cannot forget it, because plain text and `Markup` are different types. Must not know
what a report shows. A template engine would do the same with one dependency more, and SVG drawn in Python would still be built like this.
"""

import base64
import html
import json
import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

Child = "str | Markup | None | Iterable[Child]"

_EMPTY = frozenset({"meta", "link", "img", "br", "hr", "input", "circle", "line", "rect", "path"})
# Characters that neither HTML nor XML may hold, not even escaped; and those that turn the direction of the text around them.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


class Markup(str):
    """Text that is markup already and goes into a page as it is."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Return a text as markup that shows it, in content and in attributes alike."""
    return Markup(html.escape(_FORBIDDEN.sub("\ufffd", text)))


def join(*children: Any) -> Markup:
    """Return children one after the other: text escaped, markup as it is, None left out, lists unfolded.

    Raises:
        TypeError: something else is among them.
    """
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(escape(child))
        elif isinstance(child, Iterable):
            parts.append(join(*child))
        else:
            raise TypeError(f"markup: got a {type(child).__name__}; expected text, markup, None or a list of them")
    return Markup("".join(parts))


def element(tag: str, /, *children: Any, **attributes: Any) -> Markup:
    """Return an element.

    Args:
        tag: its name.
        children: as `join` takes them.
        attributes: `class_` is written `class`, other underscores become hyphens; None and False leave an attribute out, True writes it bare.
    """
    written = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(_attribute(value))}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    content = join(*children)
    if tag in _EMPTY and not content:
        # HTML takes these without an end; inside SVG they must be closed, and HTML's parser lets a slash stand.
        return Markup(f"<{tag}{written}/>")
    return Markup(f"<{tag}{written}>{content}</{tag}>")


def _attribute(value: Any) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def data_island(name: str, value: Any) -> Markup:
    """Return JSON for the page's script, in an element that no browser runs and that no text inside can end.

    Args:
        name: the element's id.
        value: JSON values.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    return Markup(f'<script type="application/json" id="{escape(name)}">{text}</script>')


def picture(pixels: Sequence[Sequence[Any]]) -> str:
    """Return rows of pixels, grey (0 to 255) or [red, green, blue], as the URL of a PNG inside the page.

    Raises:
        ValueError: the rows differ in length, or there are none.
    """
    rows = [[[value] if isinstance(value, int | float) else list(value) for value in row] for row in pixels]
    if not rows or not rows[0] or len({len(row) for row in rows}) > 1:
        raise ValueError("picture: the rows of pixels are missing or differ in length; expected a rectangle")
    color = len(rows[0][0]) >= 3
    raw = b"".join(b"\0" + bytes(min(255, max(0, int(value))) for pixel in row for value in pixel[: 3 if color else 1]) for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2 if color else 0, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    )
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunks).decode()
