import pytest

from afterbase.verify.language.prose import GAP, prose


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("so $x = 3$ holds", f"so {GAP} holds"),
        ("It costs $5 and then $10.", f"It costs ${GAP} and then ${GAP}."),
        (r"By \(a^2\) and \[b\] we see", f"By {GAP} and {GAP} we see"),
        ("call `f(x)` now", f"call {GAP} now"),
        ("see https://example.com/a/b, then mail a.b@example.org", f"see {GAP}, then mail {GAP}"),
        ("a [link text](http://x.y) here", "a link text here"),
        ("**bold** and *italic* and __both__", "bold and italic and both"),
        (r"\textbf{So} it is \frac{a}{b}", "{So} it is " + GAP),
        ("before\n```python\nx = 'das ist gut'\n```\nafter", "before after"),
        ("before\n```\nnever closed", "before"),
        ('The object {"a": {"b": "das ist gut"}} is read', f"The object {GAP} is read"),
        ("the variable learning_rate and batchSize", f"the variable {GAP} and {GAP}"),
        ("so x=3. Then", f"so {GAP}. Then"),
        ("<think>Let me see.</think> Yes", "Let me see. Yes"),
        ("ﬁne and ｗｉｄｅ", "fine and wide"),
        ("in ./src/main and /usr/lib/python now", f"in {GAP} and {GAP} now"),
        ("and/or, he or she", "and/or, he or she"),
        ("zero\u200bwidth", "zerowidth"),
    ],
)
def test_prose(text: str, left: str) -> None:
    assert " ".join(prose(text).split()) == left
