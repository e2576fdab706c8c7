"""What is recorded of a rollout, and what is refused since nothing could be learnt from it."""

from dataclasses import replace

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status, Verdict
from afterbase.reward.route import Reward
from afterbase.rollout.engine import Completion, FinishReason
from afterbase.train.grpo.groups import Group
from afterbase.train.grpo.rollout_metrics import refuse_without_signal, rollout_metrics

PROBLEM = Problem(domain="toy", prompt="1?", gold=None, verifier="maths", spec={"answer": "1"})
VERDICTS = {
    status: Verdict(verifier="maths", status=status, value=float(status is Status.OK), reason="r") for status in Status
}
OK, WRONG = Reward(0.9, VERDICTS[Status.OK]), Reward(0.0, VERDICTS[Status.WRONG])
FAILED = Reward(None, VERDICTS[Status.FAILED])


def group(rewards: list[Reward], lengths: list[int], *, domain: str = "toy") -> Group:
    """An answer of 12 tokens is one that was cut off."""
    completions = [
        Completion(
            token_ids=[7] * n, logps=[-1.0] * n, prompt_index=0, sample_index=i,
            finish=FinishReason.LENGTH if n == 12 else FinishReason.STOP,
        )
        for i, n in enumerate(lengths)
    ]  # fmt: skip
    texts = [str(n) for n in lengths]
    return Group(
        problem=replace(PROBLEM, domain=domain),
        prompt_ids=[0],
        completions=completions,
        texts=texts,
        rewards=rewards,
    )


def test_numbers_of_a_step_leave_failed_verdicts_out():
    """Lengths apart for right and wrong; an answer whose verifier failed is neither."""
    groups = [
        group([OK, WRONG, WRONG, FAILED], [4, 6, 8, 100]),
        group([Reward(0.5, None)] * 4, [10, 10, 10, 12], domain="chat"),
    ]
    assert rollout_metrics(groups) == {
        "reward": pytest.approx(2.9 / 7, abs=1e-4),
        "reward/toy": pytest.approx(0.3, abs=1e-4),
        "reward/chat": 0.5,
        "solved": pytest.approx(1 / 3, abs=1e-4),
        "solve rate/0": 0.0,
        "solve rate/below half": 1.0,
        "solve rate/half and more": 0.0,
        "solve rate/1": 0.0,
        "length": 20.0,
        "length/right": 4.0,
        "length/wrong": 7.0,
        "reflective": 0.0,
        "truncated": 0.125,
        "equal_groups": 0.5,
        "verifier_failed": 0.125,
        "verifier_failed/r": 0.125,
        "entropy": 1.0,
    }


def test_the_histogram_of_solve_rates_sums_to_one():
    groups = [group([OK] * right + [WRONG] * (4 - right), [3] * 4) for right in range(5)]
    shares = {k.split("/")[1]: v for k, v in rollout_metrics(groups).items() if k.startswith("solve rate")}
    assert shares == {"0": 0.2, "below half": 0.2, "half and more": 0.4, "1": 0.2}


@pytest.mark.parametrize(
    ("reward", "length", "remedy"),
    [
        (WRONG, 3, "fine-tune on worked answers"),
        (WRONG, 12, "raise max_new_tokens, now 12"),
        (OK, 3, "harder problems"),
    ],
)
def test_groups_without_signal_are_refused_with_their_reason(reward, length, remedy):
    with pytest.raises(UserError, match="rewards differ") as raised:
        refuse_without_signal([group([reward] * 4, [length] * 4)] * 3, max_new_tokens=12)
    assert raised.value.got.startswith("3 groups of 4 answers")
    assert remedy in raised.value.remedy
    mixed = [group([reward] * 4, [length] * 4), group([OK, WRONG], [3, 3])]
    assert refuse_without_signal(mixed, max_new_tokens=12)["equal_groups"] == 0.5
