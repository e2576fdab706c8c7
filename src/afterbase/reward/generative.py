"""The generative reward model: k sampled judgements, each with the chain of thought that leads to it, voted.

V3 report, sections 5.2 and 5.4. With a right answer to hold against it: does the response match? Without: a critique by
principles, then a score. Whose judgements they are makes three kinds of one thing: a model trained to judge, the
policy's own checkpoint (self-rewarding), or an endpoint.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status, Verdict
from afterbase.reward.judge import HIGHEST, LOWEST, Case, Failed, Judgement, prompt_of, read
from afterbase.reward.votes import Majority, as_given, majority, mean, reversed_order
from afterbase.rollout.chat_model import ChatModel, Reason, Reply
from afterbase.rollout.problem_replies import by_prompt, failure_counts, sampled_requests

VERIFIER = "judge"


@dataclass(frozen=True)
class GenerativeReward:
    """A reward for answers, and comparisons of two; the same seed gives the same judgements."""

    model: ChatModel
    principles: str
    votes: int
    seed: int
    temperature: float = 1.0
    max_new_tokens: int = 160
    """Of a judgement with its chain of thought."""

    def judge(self, answers: Sequence[tuple[Problem, str]]) -> list[tuple[float | None, Verdict | None]]:
        """The reward in [0, 1] of each answer; None, with a verdict `failed` that says why, where the judge fails."""
        cases = [case_of(problem, answer) for problem, answer in answers]
        groups = self.judgements(cases, self.votes)
        return [reward_of(case, group) for case, group in zip(cases, groups, strict=True)]

    def compare(self, pairs: Sequence[tuple[str, str, str]]) -> list[Majority[str]]:
        """Votes for `A` (the first answer), `B` or `tie` on (question, first, second), each shown in a random order."""
        wanted: dict[int, list[tuple[int, bool]]] = defaultdict(list)  # judgements: of which pair, in which order
        for at, (question, first, second) in enumerate(pairs):
            flips = [reversed_order(question, (first, second), seed=self.seed, index=i) for i in range(self.votes)]
            for flip in (False, True):
                wanted[flips.count(flip)].append((at, flip))
        votes: list[list[str | None]] = [[] for _ in pairs]
        for samples, places in wanted.items():
            if samples == 0:
                continue
            cases = [comparison(*pairs[at], flip=flip) for at, flip in places]
            for (at, flip), group in zip(places, self.judgements(cases, samples), strict=True):
                votes[at] += [None if j.verdict is None else as_given(str(j.verdict), was_reversed=flip) for j in group]
        return [majority(of_pair) for of_pair in votes]

    def judgements(self, cases: Sequence[Case], samples: int) -> list[list[Judgement]]:
        """`samples` judgements of each case.

        Raises UserError, once nothing is under way any more, where the budget is spent or most requests failed.
        """
        requests = sampled_requests(
            [prompt_of(case, self.principles) for case in cases],
            samples=samples,
            temperature=self.temperature,
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
        )
        replies = self.model.complete(requests)
        _refuse_silence(replies)
        groups = by_prompt(requests, replies)
        return [[read(case, reply) for reply in group] for case, group in zip(cases, groups, strict=True)]


def comparison(question: str, first: str, second: str, *, flip: bool) -> Case:
    """The case of two answers, the second one shown first with `flip`."""
    return Case(kind="compare", question=question, answers=(second, first) if flip else (first, second))


def case_of(problem: Problem, answer: str) -> Case:
    """What is asked of a judge about one answer: whether it matches, if there is a right one, or how good it is."""
    if problem.gold is not None:
        return Case(kind="match", question=problem.prompt, answers=(answer,), gold=problem.gold)
    return Case(kind="score", question=problem.prompt, answers=(answer,))


def reward_of(case: Case, judgements: Sequence[Judgement]) -> tuple[float | None, Verdict | None]:
    """The mean score, brought to [0, 1], or 1 for a majority of `yes`; None, and why, where the vote fails."""
    if case.kind == "match":
        vote = majority([j.verdict for j in judgements])
        value = None if vote.winner is None else float(vote.winner == "yes")
        undecided = vote.tied
    else:
        score = mean([None if j.verdict is None else float(j.verdict) for j in judgements])
        value = None if score is None else (score - LOWEST) / (HIGHEST - LOWEST)
        undecided = False
    if value is not None:
        return value, None
    why = Counter(str(j.failed) for j in judgements if j.failed is not None)
    reason = str(Failed.UNDECIDED) if undecided else why.most_common(1)[0][0]
    return None, Verdict(verifier=VERIFIER, status=Status.FAILED, value=0.0, reason=reason)


def _refuse_silence(replies: Sequence[Reply]) -> None:
    """A single failure is an abstention; a spent budget is none, nor a server that is down."""
    failures = [reply.failure for reply in replies if reply.failure is not None]
    unsent = [failure for failure in failures if failure.reason is Reason.BUDGET]
    if unsent:
        raise UserError(
            "a judge stays within its budget",
            got=f"{len(unsent)} of {len(replies)} requests not sent; {unsent[-1].detail}",
            remedy="raise the budget and run again: with a request cache only what is missing is asked",
        )
    down = [failure for failure in failures if not failure.reason.is_about_request]
    if 2 * len(down) > len(replies):
        reasons = ", ".join(f"{count} {reason}" for reason, count in failure_counts(down))
        raise UserError(
            "a judge answers most of what it is asked",
            got=f"{len(down)} of {len(replies)} requests without an answer ({reasons}); the last: {down[-1].detail}",
            remedy="see to the endpoint and run again: with a request cache only what is missing is asked",
        )
