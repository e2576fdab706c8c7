from afterbase.core.visible import visible


def test_control_and_reordering_characters_are_made_visible():
    assert visible("a\x00\tb\n\ud800\r") == "a␀\tb\n\ufffd␍"
    assert visible("def \x1b[31m \u202ethe") == "def ␛[31m [U+202E]the"
    assert visible("plain text, 你好 ∑") == "plain text, 你好 ∑"
