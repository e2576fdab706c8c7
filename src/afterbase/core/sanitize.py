"""Untrusted text made safe to show: nothing in it can disguise itself or the text around it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

# C0 controls (tab and line feed excepted) as their pictures, lone surrogates as the replacement character, and what
# nobody can see by its number: marks that reorder text, characters without width, C1 controls, and the tags and
# variation selectors in which a whole hidden text fits. Joiners and the selectors of emoji stay: words need them.
_UNSEEN = (
    *range(0x80, 0xA0), 0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2060, 0x2070),
    0x3164, 0xFEFF, 0xFFA0, *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0200),
)  # fmt: skip
_VISIBLE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(32) if code not in (0x09, 0x0A)},
    0x7F: "␡",
    **{code: f"[U+{code:04X}]" for code in _UNSEEN},
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}


def sanitized(text: str) -> str:
    """The text with control characters, lone surrogates, reordering marks and unseen characters made visible."""
    return text.translate(_VISIBLE)


def on_one_line(text: str) -> str:
    """`sanitized` text whose line feeds and tabs are pictures, too: a name cannot begin a line of its own."""
    return sanitized(text).replace("\n", "␊").replace("\t", "␉")


def cell(text: str, *, style: str = "") -> "Text":
    """The text for a table or a tree of rich: on one line, and as it is written, for a `[red]` in it is no markup."""
    from rich.text import Text

    return Text(on_one_line(text), style=style)
