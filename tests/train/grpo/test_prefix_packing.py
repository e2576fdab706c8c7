"""Rows in which answers share their prompt: nothing is lost, nothing read twice, and log-probabilities are the same."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.model.attention import Segments
from afterbase.train.grpo.prefix_packing import rows

ANSWERS = st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(6, 300), min_size=1, max_size=9)), min_size=1)
PROMPTS = [[0, 4, 50, 60, 5], [0], [0, 4, 70, 5], [0, 4, 50, 60, 5]]  # the first and the last are equal


@given(ANSWERS, st.integers(4, 40))
@settings(deadline=None)
def test_every_answer_is_in_one_row_and_every_prompt_once_a_tree(answers, capacity):
    prompts = [PROMPTS[p] for p, _ in answers]
    texts = [text for _, text in answers]
    made = rows(prompts, texts, capacity)
    assert sorted(i for row in made for i in row.answers) == list(range(len(answers)))
    longest = max(len(prompt) + len(text) - 1 for prompt, text in zip(prompts, texts, strict=True))
    for row in made:
        assert len(row.ids_T) <= max(capacity, longest)
        assert row.sizes_S.tolist() == [len(texts[i]) for i in row.answers]
        assert row.targets_N.tolist() == [token for i in row.answers for token in texts[i]]
        segments = row.ids_T.split(list(row.segments.lengths))
        for segment, before, (index, is_prompt) in zip(segments, row.segments.continues, row.places, strict=True):
            assert is_prompt == (before is None)
            assert segment.tolist() == (prompts[index] if is_prompt else texts[index][:-1])
            if before is not None:
                assert segments[before].tolist() == prompts[index]


def test_answers_to_equal_prompts_read_them_once():
    (row,) = rows([PROMPTS[0]] * 8, [[7, 8, 9]] * 8, 100)
    assert len(row.ids_T) == 5 + 8 * 2


def test_each_token_is_predicted_as_alone(exact_lm):
    """The log-probabilities of an answer after its prompt, answer by answer, to 1e-9."""
    generator = torch.Generator().manual_seed(0)
    answers = [(i % 3, torch.randint(6, 300, (1 + (3 * i) % 7,), generator=generator).tolist()) for i in range(9)]
    prompts = [PROMPTS[p] for p, _ in answers]
    for row in rows(prompts, [text for _, text in answers], 30):
        logps = exact_lm.logits(exact_lm.hidden(row.ids_T, row.segments)[row.predictors_N]).log_softmax(-1)
        got = logps.gather(1, row.targets_N[:, None])[:, 0].split(row.sizes_S.tolist())
        for index, ours in zip(row.answers, got, strict=True):
            text = torch.tensor(answers[index][1])
            ids = torch.cat((torch.tensor(prompts[index]), text))
            hidden = exact_lm.hidden(ids, Segments.of([len(ids)]))[len(prompts[index]) - 1 : -1]
            alone = exact_lm.logits(hidden).log_softmax(-1).gather(1, text[:, None])[:, 0]
            torch.testing.assert_close(ours, alone, rtol=0, atol=1e-9)
