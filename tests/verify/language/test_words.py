from afterbase.verify.language.words import sentences


def test_tokens_have_scripts_and_sentences_end() -> None:
    first, second = sentences("So 因此 l'eau-vive, 3.5 ok? 答案是。 42.")
    assert first == [
        ("latin", "So"),
        ("han", "因此"),
        ("latin", "l'eau-vive"),
        ("clause", ","),
        ("thing", "3.5"),
        ("latin", "ok"),
    ]
    assert second == [("han", "答案是")]


def test_a_letter_alone_is_a_thing_but_not_beside_a_word() -> None:
    assert sentences("I think") == [[("latin", "I"), ("latin", "think")]]
    assert sentences("x, y") == []
    assert sentences("α + β") == []
    assert sentences("y él") == [[("latin", "y"), ("latin", "él")]]
