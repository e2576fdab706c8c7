from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.review.web.changes import difference, words

TEXT = st.text(st.sampled_from("ab \n\u2028é."), max_size=40)


@given(TEXT, TEXT)
def test_words_give_both_texts_back(draft, edited):
    parts = list(words(draft, edited))
    assert "".join(text for kind, text in parts if kind != "new") == draft
    assert "".join(text for kind, text in parts if kind != "gone") == edited


def test_words_show_what_changed():
    assert list(words("The cat sat.", "The dog sat.")) == [
        ("same", "The "),
        ("gone", "cat "),
        ("new", "dog "),
        ("same", "sat."),
    ]
    assert [kind for kind, _ in words("x" * 30_000, "x" * 30_000 + "y")] == ["gone", "new"]


def test_difference_is_a_unified_diff():
    assert difference("one\ntwo\n", "one\n2\n") == "--- draft\n+++ edited\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"
    assert difference("a", "b").splitlines()[3:] == [
        "-a",
        "\\ No newline at end of file",
        "+b",
        "\\ No newline at end of file",
    ]
    assert difference("a\u2028b\n", "a\u2028c\n").count("\n-") == 1
