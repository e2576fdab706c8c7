"""Preference pairs: split by prompt, in batches, and whole answers' log-probabilities against a plain loop."""

import copy
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.tokens import Tokenized, prompt_ids, user_prompt_ids
from afterbase.model.load import load, save
from afterbase.train.preference.preference_pairs import (
    Pair,
    answer_logps,
    batches,
    in_rows,
    make_reference_logps,
    read_labelled,
    read_pairs,
    read_reference_logps,
    split_pairs,
)


def plain_logp(lm, answer: Tokenized) -> torch.Tensor:
    """One answer alone, through transformers' own forward."""
    logps = lm.model(torch.tensor([answer.ids]), segments=_alone(answer), use_cache=False).logits[0].log_softmax(-1)
    return torch.stack([logps[i - 1, t] for i, t in enumerate(answer.ids) if answer.trained[i]]).sum()


def _alone(answer: Tokenized):
    from afterbase.model.attention import Segments

    return Segments.of([len(answer.ids)])


def toy_pair(row: int, prompt: str, tokens: int) -> Pair:
    answer = Tokenized(list(range(tokens)), [False] * tokens)
    return Pair(row, prompt, answer, answer, ())


def test_no_prompt_is_on_both_sides(toy_lm, preference_inputs):
    pairs = read_pairs(toy_lm, preference_inputs(8, per_prompt=3)[1]).kept
    training, held_out = split_pairs(pairs, held_out=0.25, seed=0)
    assert (len(training), len(held_out)) == (18, 6)
    assert not {p.prompt for p in training} & {p.prompt for p in held_out}
    assert split_pairs(pairs, held_out=0.25, seed=0) == (training, held_out)
    assert split_pairs(pairs, held_out=0.25, seed=1) != (training, held_out)


@pytest.mark.parametrize("prompts", [0, 1])
def test_too_few_prompts_are_refused(toy_lm, preference_inputs, prompts: int):
    pairs = read_pairs(toy_lm, preference_inputs(prompts, per_prompt=4)[1]).kept
    with pytest.raises(UserError, match="pairs of other prompts") as raised:
        split_pairs(pairs, held_out=0.25, seed=0)
    assert raised.value.got.startswith(f"{4 * prompts} pairs over {prompts} prompts")


def test_others_answer_another_prompt(toy_lm, preference_inputs):
    pairs = read_pairs(toy_lm, preference_inputs(3, per_prompt=2)[1]).kept
    for pair in pairs:
        assert len(pair.others) == 2
        prompt = pair.chosen.ids[: pair.chosen.trained.index(True)]
        assert all(other.ids[: len(prompt)] == prompt for other in pair.others)
        assert pair.others[0] != pair.chosen
    assert pairs[5].others[0].ids[-4:] == pairs[0].chosen.ids[-4:]  # the last one's neighbour is the first


def test_every_pair_is_shown_once_an_epoch():
    shown = batches(list(range(10)), 4, epochs=2, seed=0)
    assert [len(batch) for batch in shown] == [4, 4, 2, 4, 4, 2]
    flat = [item for batch in shown for item in batch]
    assert sorted(flat[:10]) == sorted(flat[10:]) == list(range(10))
    assert flat[:10] != flat[10:]


@given(st.lists(st.integers(1, 40), max_size=20))
def test_rows_hold_all_pairs_in_order_and_no_more_than_they_may(sizes: list[int]):
    pairs = [toy_pair(i, "?", size) for i, size in enumerate(sizes)]
    rows = list(in_rows(pairs, 64))
    assert [pair for row in rows for pair in row] == pairs
    assert all(len(row) == 1 or sum(2 * len(p.chosen.ids) for p in row) <= 64 for row in rows)


def test_log_probabilities_of_packed_answers_are_those_of_each_alone(exact_lm, preference_inputs):
    pairs = read_pairs(exact_lm, preference_inputs(3)[1]).kept
    answers = [answer for pair in pairs for answer in (*pair.answers, *pair.others)]
    with torch.no_grad():
        packed = answer_logps(exact_lm, answers)
        alone = torch.stack([plain_logp(exact_lm, answer) for answer in answers])
    torch.testing.assert_close(packed, alone, rtol=0, atol=1e-9)


def test_the_reference_is_made_once_and_holds_every_answer(toy_store, preference_inputs):
    model, preferences = preference_inputs(4)
    reference = make_reference_logps(toy_store, model, preferences)
    assert make_reference_logps(toy_store, model, preferences) == reference
    assert [record.cached for record in toy_store.stages] == [False, True]
    lm = load(model.payload)
    logps = read_reference_logps(reference)
    with torch.no_grad():
        for pair in read_pairs(lm, preferences).kept:
            expected = torch.stack([plain_logp(lm, answer) for answer in (*pair.answers, *pair.others)])
            torch.testing.assert_close(logps[pair.row], expected, rtol=0, atol=1e-4)


def test_pairs_longer_than_the_context_are_left_out_and_counted(toy_lm, preference_inputs):
    """A pair's row stays its place in the artifact, so that the reference's rows still fit."""
    preferences = preference_inputs(12)[1]
    everything = read_pairs(toy_lm, preferences).kept
    lengths = [max(len(a.ids) for a in pair.answers) for pair in everything]
    longest = toy_lm.model.config.max_position_embeddings = sorted(lengths)[5]
    read = read_pairs(toy_lm, preferences)
    kept = read.kept
    assert [pair.row for pair in kept] == [i for i, n in enumerate(lengths) if n <= longest]
    assert all(len(other.ids) <= longest for pair in kept for other in pair.others)
    assert read.dropped == [{"row": str(i), "reason": "too long"} for i, n in enumerate(lengths) if n > longest]
    assert read.report()["too_long"] == 12 - len(kept) > 0


def test_a_chunk_bounds_pairs_as_a_context_does(toy_lm, preference_inputs):
    preferences = preference_inputs(12)[1]
    lengths = [max(len(a.ids) for a in pair.answers) for pair in read_pairs(toy_lm, preferences).kept]
    toy_lm.model.config.attention_chunk_size = sorted(lengths)[5]
    assert [pair.row for pair in read_pairs(toy_lm, preferences).kept] == [
        i for i, n in enumerate(lengths) if n <= sorted(lengths)[5]
    ]


def _written(artifact, name: str, rows: list[dict]):
    return artifact(name, lambda folder: pq.write_table(pa.Table.from_pylist(rows), folder / "pairs.parquet"))


def test_one_long_answer_drops_its_own_pair_alone(toy_lm, artifact):
    texts = [("p", "a", "b"), ("q", "c " * 400, "d"), ("r", "e", "f"), ("p", "g", "h")]
    rows = [dict(zip(("prompt", "chosen", "rejected"), row, strict=True)) for row in texts]
    toy_lm.model.config.max_position_embeddings = 64
    kept = read_pairs(toy_lm, _written(artifact, "long", rows)).kept
    assert [pair.row for pair in kept] == [0, 2, 3]
    ends = [toy_lm.tokenizer.decode(pair.others[0].ids)[-8:] for pair in kept]
    assert ends == ["e<|end|>", "g<|end|>", "e<|end|>"], "of the next pair that fits"


def test_a_pair_whose_neighbours_are_all_too_long_stays(toy_lm, toy_store, artifact):
    rows = [{"prompt": "p", "chosen": "a", "rejected": "b"}, {"prompt": "q", "chosen": "c " * 400, "rejected": "d"}]
    toy_lm.model.config.max_position_embeddings = 64
    preferences = _written(artifact, "alone", rows)
    (pair,) = read_pairs(toy_lm, preferences).kept
    assert (pair.row, pair.others) == (0, ())
    model = artifact("model", lambda folder: save(toy_lm, folder))
    logps = read_reference_logps(make_reference_logps(toy_store, model, preferences))
    assert logps.isnan().tolist() == [[False, False, True, True], [True] * 4]


@pytest.mark.parametrize("margin", [float("nan"), float("inf")])
def test_a_margin_that_is_no_number_is_refused(toy_lm, artifact, margin):
    rows = [{"prompt": p, "chosen": "a", "rejected": "b", "margin": m} for p, m in (("p", 1.0), ("q", margin))]
    with pytest.raises(UserError, match="in row 1"):
        read_pairs(toy_lm, _written(artifact, "margins", rows))


def test_a_policy_learns_whole_responses_and_a_reward_model_answers_alone(toy_lm, artifact):
    answers = [{"prompt": str(n), "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(3)]
    thought = "<think>\nlong and short\n</think>"
    rows = [{**row, "chosen": f"{thought}{row['chosen']}"} for row in answers]
    rows.insert(1, {"prompt": "p", "chosen": "yes", "rejected": "<think>\nfor ever"})
    preferences = _written(artifact, "thoughts", rows)
    plain = read_pairs(toy_lm, _written(artifact, "answers", answers)).kept
    alone = read_pairs(toy_lm, preferences, thoughts=False).kept
    assert [pair.answers for pair in alone] == [pair.answers for pair in plain]
    assert [pair.row for pair in alone] == [0, 2, 3], "the place in the artifact"
    whole = read_pairs(toy_lm, preferences).kept
    assert len(whole) == 4
    assert "long and short" in toy_lm.tokenizer.decode(whole[0].chosen.ids)
    assert "for ever" in toy_lm.tokenizer.decode(whole[1].rejected.ids)


def test_a_prompt_of_several_turns_is_read_from_its_messages(toy_lm, artifact):
    """The answers of earlier turns are context alone, and the system prompt stands before them."""
    turns = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "sure?"},
    ]
    rows = [
        {"prompt": json.dumps(turns), "messages": json.dumps(turns), "chosen": "yes", "rejected": "no", "row": "a:1"},
        {"prompt": "p", "messages": None, "chosen": "c", "rejected": "d", "row": "a:2"},
    ]
    first, second = read_pairs(toy_lm, _written(artifact, "turns", rows)).kept
    prompt = prompt_ids(toy_lm.tokenizer, turns)
    for answer, text in zip(first.answers, ("yes", "no"), strict=True):
        assert answer.ids[: len(prompt)] == prompt
        assert answer.trained == [i >= len(prompt) for i in range(len(answer.ids))]
        assert toy_lm.tokenizer.decode(answer.ids[len(prompt) :]) == f"{text}<|end|>"
    assert first.others[0].ids[: len(prompt)] == prompt, "the other prompt's answer is put to all turns"
    assert second.others[0].ids[: second.chosen.trained.index(True)] == user_prompt_ids(toy_lm.tokenizer, "p")


def test_one_odd_pair_is_left_out_with_its_place_and_the_reason(toy_lm, artifact):
    toy_lm.tokenizer = copy.deepcopy(toy_lm.tokenizer)
    refusing = "{% if messages[0].content == 'odd' %}{{ raise_exception('no odd prompts') }}{% endif %}"
    toy_lm.tokenizer.chat_template = refusing + toy_lm.tokenizer.chat_template
    rows = [
        {"prompt": "p", "chosen": "a", "rejected": "b", "row": "f.jsonl:1"},
        {"prompt": "q", "chosen": "same", "rejected": "same", "row": "f.jsonl:2"},
        {"prompt": "odd", "chosen": "a", "rejected": "b", "row": "f.jsonl:3"},
        {"prompt": "r", "chosen": "c", "rejected": "d", "row": "f.jsonl:4"},
    ]
    read = read_pairs(toy_lm, _written(artifact, "odd", rows))
    assert [pair.row for pair in read.kept] == [0, 3]
    assert [drop["row"] for drop in read.dropped] == ["f.jsonl:2", "f.jsonl:3"]
    assert read.dropped[0]["reason"] == "both answers are equal"
    assert "no odd prompts" in read.dropped[1]["reason"]
    assert read.report() == {"too_long": 0, "unanswered": 0, "dropped": read.dropped}


def test_where_every_pair_is_odd_the_first_reason_is_told(toy_lm, artifact):
    rows = [{"prompt": p, "chosen": "same", "rejected": "same"} for p in "pq"]
    with pytest.raises(UserError, match="can be trained on") as raised:
        read_pairs(toy_lm, _written(artifact, "equal", rows))
    assert raised.value.got == "2 rows that were all left out, the first (0) because: both answers are equal"


def test_labelled_answers_have_anothers_answer_and_the_references_of_both(toy_lm, toy_store, artifact):
    rows = [
        {"prompt": "p", "messages": None, "response": "good", "label": True, "row": "f:1"},
        {"prompt": "p", "messages": None, "response": "bad one", "label": False, "row": "f:2"},
        {"prompt": "q", "messages": None, "response": "x " * 400, "label": False, "row": "f:3"},
        {"prompt": "r", "messages": None, "response": "fine", "label": True, "row": "f:4"},
    ]
    toy_lm.model.config.max_position_embeddings = 64
    answers = artifact("answers", lambda folder: pq.write_table(pa.Table.from_pylist(rows), folder / "answers.parquet"))
    read = read_labelled(toy_lm, answers)
    assert [(e.row, e.desirable) for e in read.kept] == [(0, [True]), (1, [False]), (3, [True])]
    assert read.dropped == [{"row": "f:3", "reason": "too long"}]
    ends = [toy_lm.tokenizer.decode(e.others[0].ids).split("<|assistant|>")[1] for e in read.kept]
    assert ends == ["fine<|end|>", "fine<|end|>", "good<|end|>"], "of the next row with another prompt that fits"
    model = artifact("model", lambda folder: save(toy_lm, folder))
    logps = read_reference_logps(make_reference_logps(toy_store, model, answers))
    empty = [False, True, False, True]
    assert logps.isnan().tolist() == [empty, empty, [True] * 4, empty]
    with torch.no_grad():
        known = answer_logps(toy_lm, [read.kept[1].answer, *read.kept[1].others])
    torch.testing.assert_close(logps[1, [0, 2]], known, rtol=0, atol=1e-4)


def test_log_probabilities_with_prompts_are_of_all_but_the_first_token(exact_lm, preference_inputs):
    answers = [a for pair in read_pairs(exact_lm, preference_inputs(3)[1]).kept for a in pair.answers]
    whole = [Tokenized(a.ids, [False, *[True] * (len(a.ids) - 1)]) for a in answers]
    with torch.no_grad():
        both = answer_logps(exact_lm, answers, with_prompts=True)
        expected = torch.stack([answer_logps(exact_lm, answers), answer_logps(exact_lm, whole)], dim=1)
    torch.testing.assert_close(both, expected, rtol=0, atol=1e-9)
