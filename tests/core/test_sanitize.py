from io import StringIO

from rich.console import Console

from afterbase.core.sanitize import cell, on_one_line, sanitized
from hostile import NAME, ON_ONE_LINE, SHOWN


def test_control_and_reordering_characters_are_made_visible():
    assert sanitized("a\x00\tb\n\ud800\r") == "a␀\tb\n\ufffd␍"
    assert sanitized("def \x1b[31m \u202ethe") == "def ␛[31m [U+202E]the"
    assert sanitized("plain text, 你好 ∑") == "plain text, 你好 ∑"


def test_what_nobody_can_see_is_shown_by_its_number():
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "ok")
    assert sanitized(f"yes{hidden}\u200b\u00ad\ufeff\U000e0100") == (
        "yes[U+E006F][U+E006B][U+200B][U+00AD][U+FEFF][U+E0100]"
    )
    assert sanitized("👩\u200d💻 ❤\ufe0f می\u200cخواهم") == "👩\u200d💻 ❤\ufe0f می\u200cخواهم", "words need these"


def test_a_cell_of_a_table_is_one_line_without_markup():
    console = Console(file=StringIO(), width=80, color_system="truecolor", force_terminal=True)
    console.print(cell(NAME))
    assert console.file.getvalue() == f"{ON_ONE_LINE}\n"  # type: ignore[attr-defined]
    assert on_one_line(NAME) == ON_ONE_LINE
    assert sanitized(NAME) == SHOWN
