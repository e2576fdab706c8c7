"""Preference pairs: split by prompt, in batches, and whole answers' log-probabilities against a plain loop."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.tokens import Tokenized
from afterbase.model.load import load, save
from afterbase.train.preference.preference_pairs import (
    Pair,
    answer_logps,
    batches,
    in_rows,
    make_reference_logps,
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
