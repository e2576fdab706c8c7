"""Untrusted text made fit to be shown: nothing in it may disguise itself or the text around it."""

# C0 controls (tab and line feed excepted) as their pictures, lone surrogates as the replacement character, and the
# marks that reorder text by their names: an answer may not disguise itself or the text around it.
_VISIBLE: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(32) if code not in (0x09, 0x0A)},
    0x7F: "␡",
    **{code: f"[U+{code:04X}]" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}


def visible(text: str) -> str:
    """The text with control characters, lone surrogates and reordering marks made visible."""
    return text.translate(_VISIBLE)
