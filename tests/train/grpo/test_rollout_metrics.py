"""What a step learns from: numbers of its groups, groups sampled anew, engines and rewards that are refused."""

import math
from dataclasses import replace

import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status, Verdict
from afterbase.reward.route import Reward
from afterbase.rollout.engine import Completion, FinishReason, Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.train.grpo.groups import Group, numbers_of, refuse_hopeless, roll_out, sample_groups

PROBLEM = Problem(domain="toy", prompt="1?", gold=None, verifier="maths", spec={"answer": "1"})
VERDICTS = {
    status: Verdict(verifier="maths", status=status, value=float(status is Status.OK), reason="r") for status in Status
}
OK, WRONG = Reward(0.9, VERDICTS[Status.OK]), Reward(0.0, VERDICTS[Status.WRONG])
FAILED = Reward(None, VERDICTS[Status.FAILED])


def group(judged: list[Reward], lengths: list[int], *, domain: str = "toy") -> Group:
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
        judged=judged,
    )


def test_numbers_of_a_step_leave_failed_verdicts_out():
    """Lengths apart for right and wrong; an answer that nobody could judge is neither."""
    groups = [
        group([OK, WRONG, WRONG, FAILED], [4, 6, 8, 100]),
        group([Reward(0.5, None)] * 4, [10, 10, 10, 12], domain="chat"),
    ]
    assert numbers_of(groups) == {
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
        "entropy": 1.0,
    }


def test_the_histogram_of_solve_rates_sums_to_one():
    groups = [group([OK] * right + [WRONG] * (4 - right), [3] * 4) for right in range(5)]
    shares = {k.split("/")[1]: v for k, v in numbers_of(groups).items() if k.startswith("solve rate")}
    assert shares == {"0": 0.2, "below half": 0.2, "half and more": 0.4, "1": 0.2}


def test_dynamic_sampling_goes_on_until_enough_groups_teach():
    """Only every third problem has rewards that differ: 2 wanted of 6 problems, in two rounds."""

    def draw(cursor: int, count: int) -> list[Problem]:
        return [replace(PROBLEM, prompt=str(i)) for i in range(cursor, cursor + count)]

    def sample(problems: list[Problem]) -> tuple[list[Group], dict[str, float]]:
        return [replace(group([OK, WRONG if int(p.prompt) % 3 == 0 else OK], [3, 3]), problem=p) for p in problems], {
            "rollout": 1.0
        }

    rollout = roll_out(1, draw, sample, prompts=2, dynamic=True)
    assert [g.problem.prompt for g in rollout.sampled] == ["1", "2", "3", "4", "5"]
    assert [g.teaches for g in rollout.groups] == [True, False], "three rounds, and not one more"
    assert (rollout.cursor, rollout.seconds) == (6, {"rollout": 3.0})
    enough = roll_out(3, draw, sample, prompts=2, dynamic=True)
    assert [g.problem.prompt for g in enough.groups] == ["3", "6"]
    plain = roll_out(1, draw, sample, prompts=2, dynamic=False)
    assert [g.problem.prompt for g in plain.groups] == ["1", "2"]


@pytest.mark.parametrize(
    ("judged", "length", "remedy"),
    [
        (WRONG, 3, "fine-tune on worked answers"),
        (WRONG, 12, "raise max_new_tokens, now 12"),
        (OK, 3, "harder problems"),
    ],
)
def test_what_cannot_teach_is_refused_with_its_reason(judged, length, remedy):
    with pytest.raises(UserError, match="rewards differ") as raised:
        refuse_hopeless([group([judged] * 4, [length] * 4)] * 3, max_new_tokens=12)
    assert raised.value.got.startswith("3 groups of 4 answers")
    assert remedy in raised.value.remedy
    mixed = [group([judged] * 4, [length] * 4), group([OK, WRONG], [3, 3])]
    assert refuse_hopeless(mixed, max_new_tokens=12)["equal_groups"] == 0.5


class Silent(LocalEngine):
    """A local engine that keeps its log-probabilities to itself, or gives nonsense."""

    logps: list[float]

    def stream(self, prompts, *, samples, sampling, abort=None):
        for completion in super().stream(prompts, samples=samples, sampling=sampling, abort=abort):
            yield replace(completion, logps=self.logps * len(completion.token_ids))


@pytest.mark.parametrize("logps", [[], [math.nan], [-math.inf]])
def test_an_engine_without_log_probabilities_is_refused(toy_lm, logps):
    engine = Silent(toy_lm.model)
    engine.logps = logps
    sampling = Sampling(temperature=1.0, max_new_tokens=3, stop_token_ids=(1,), seed=0)
    with pytest.raises(UserError, match="log-probability of every token") as raised:
        sample_groups(engine, toy_lm, [PROBLEM], lambda *_: [], samples=2, sampling=sampling)
    assert "teachers and judges" in raised.value.remedy
