import json
import random
import re
from collections import Counter

import pytest

from afterbase.core.config import load_toml
from afterbase.core.errors import UserError
from afterbase.core.store import Artifact, Store
from afterbase.data.corpus import (
    Corpus,
    WorkedCorpus,
    dialogue_texts,
    make_corpus,
    make_worked_corpus,
    read_documents,
)
from afterbase.data.domains import DOMAINS, REASONING

# The question in every prompt of a domain, from its first words to where an answer would begin.
QUESTIONS = {
    "arithmetic": r"(State the final answer|Your task is to count)[^=?]*[=?]",
    "code": r"(- )?Write a Python function solve\(xs\) that [^.]*\.",
    "logic": r"A very special island.*\? *",
}


@pytest.fixture(scope="module")
def documents() -> dict[str, list[str]]:
    """A thousand raw texts of each domain."""
    texts = {}
    for name, domain in DOMAINS.items():
        rng = random.Random(f"0/{name}")
        texts[name] = [domain.pretraining_text(rng) for _ in range(1000)]
    return texts


def made(store: Store, documents: dict[str, int], *, seed: int = 0) -> Artifact:
    return make_corpus(store, Corpus(documents=documents, seed=seed))


def test_the_corpus_has_the_documents_asked_for_and_follows_from_its_seed(tmp_path):
    counts = {"arithmetic": 30, "chat": 20}
    artifact, again = (made(Store(tmp_path / name), counts) for name in "ab")
    other = made(Store(tmp_path / "a"), counts, seed=1)
    assert artifact.digest == again.digest != other.digest
    assert len(read_documents(artifact)) == 50
    assert set(read_documents(artifact)) != set(read_documents(other))


def test_a_domains_documents_do_not_depend_on_the_others(tmp_path):
    store = Store(tmp_path)
    alone, together = read_documents(made(store, {"logic": 20})), read_documents(made(store, {"chat": 9, "logic": 20}))
    assert Counter(alone) <= Counter(together)
    assert set(together[:9]) & set(alone)  # shuffled: the first to be made were the nine of chat


@pytest.mark.parametrize("name", DOMAINS)
def test_raw_text_has_no_special_token_no_box_and_no_role(documents, name: str):
    for text in documents[name]:
        assert "<|" not in text
        assert "|>" not in text
        assert "\\boxed" not in text
        assert text.strip() == text != ""


@pytest.mark.parametrize("name", REASONING)
def test_no_document_answers_a_prompt(documents, name: str):
    """A prompt in a document is at its end, or another prompt comes next."""
    question = re.compile(QUESTIONS[name], re.DOTALL)
    rng = random.Random(0)
    assert all(question.search(DOMAINS[name].problem(rng).prompt) for _ in range(50))  # the pattern knows the prompts
    asking = 0
    for text in documents[name]:
        for found in question.finditer(text):
            asking += 1
            rest = text[found.end() :].strip()
            assert not rest or question.match(rest), text
    assert asking > 20  # so that the assertion above was tried


def test_no_chat_document_holds_a_prompt(documents):
    rng = random.Random(0)
    prompts = {DOMAINS["chat"].problem(rng).prompt for _ in range(300)}
    assert not any(prompt in text for prompt in prompts for text in documents["chat"])


@pytest.mark.parametrize("name", DOMAINS)
def test_there_is_much_to_read(documents, name: str):
    assert len(set(documents[name])) > 700


@pytest.mark.parametrize("name", ["arithmetic", "logic"])
def test_no_document_asks_for_a_box(documents, name: str):
    request = " Give the answer in"
    assert request in DOMAINS[name].problem(random.Random(0)).prompt
    assert not any(request in text for text in documents[name])


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_a_count_is_a_positive_number(tmp_path, count: float):
    path = tmp_path / "recipe.toml"
    path.write_text(f"documents = {{ logic = {json.dumps(count)} }}")
    with pytest.raises(UserError, match=r"`documents\.logic`"):
        load_toml(path, Corpus)


def test_the_tokenizer_sees_prompts_of_every_domain_and_both_ways_to_answer():
    texts = dialogue_texts(5, seed=0)
    assert texts == dialogue_texts(5, seed=0) != dialogue_texts(5, seed=1)
    assert len(texts) == 5 * (3 * len(REASONING) + 1)
    joined = "\n".join(texts)
    assert all(mark in joined for mark in ("\\boxed{", "```python", "Let me", "Give the answer in"))


WORKED = WorkedCorpus(
    documents=200, shares={"arithmetic": 1.0, "code": 1.0, "logic": 1.0, "chat": 1.0}, fragments=3, worked=0.5
)


def worked(store: Store, **changes: object) -> list[str]:
    return read_documents(make_worked_corpus(store, WORKED.model_copy(update=changes)))


def test_the_worked_corpus_has_the_documents_asked_for_and_follows_from_its_seed(tmp_path):
    first, again, other = worked(Store(tmp_path / "a")), worked(Store(tmp_path / "b")), worked(Store(tmp_path), seed=1)
    assert len(first) == 200
    assert first == again
    assert not set(first) & set(other)


def test_the_worked_share_and_the_domains_are_those_asked_for(tmp_path):
    store, puzzle = Store(tmp_path), "A very special island"
    always = worked(store, shares={"logic": 1.0}, fragments=1, worked=1.0)
    assert all(text.startswith(puzzle) and "\nSay " in text for text in always)
    never = worked(store, shares={"logic": 1.0}, fragments=1, worked=0.0)
    assert not any(puzzle in text and "\nSay " in text for text in never)
    assert not any("Say " in text or "solve(xs)" in text for text in worked(store, shares={"chat": 1.0}))


def test_worked_documents_have_no_turns_and_answer_in_no_form_that_a_verifier_reads(tmp_path):
    for text in worked(Store(tmp_path), worked=1.0):
        assert not any(mark in text for mark in ("<|", "|>", "\\boxed", "Give the answer in", "So the answer", "def "))
