"""How many values a JSON text holds, counted in its bytes before it is parsed: values take memory, letters do not.

A list of nothing is two letters in a text and 56 to 300 bytes once it is read; a megabyte of them stops everybody for
a second, and a validator that tells of each one takes a gigabyte.
"""

from itertools import islice

_STRUCTURE = (b",", b"[", b"{")


def has_more_values(text: bytes | bytearray, maximum: int) -> bool:
    """Whether there are more than `maximum` commas and openings of lists and objects, other than inside of strings.

    Exact for what is JSON. What is none is counted up to where it ceases to be, and further as it comes.
    """
    if _structure(text) <= maximum:
        return False
    # What is between the quotes, once those are gone that end no string.
    unescaped = text.replace(rb"\\", b"").replace(rb"\"", b"")
    if unescaped.count(b'"') > 4 * maximum + 4:  # two quotes a string, two strings a value: its name, too
        return True
    return _structure(b"".join(islice(unescaped.split(b'"'), 0, None, 2))) > maximum


def _structure(text: bytes | bytearray) -> int:
    return sum(text.count(mark) for mark in _STRUCTURE)
