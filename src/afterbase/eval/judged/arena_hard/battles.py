"""Arena-Hard's games: the judge sees each question with two answers, twice, in both orders, and ends with a label.

Game 0 shows the baseline first, game 1 the contestant. What is written down has the form of the public
model_judgment files, so that `afterbase score arena-hard` reads it as it reads those. The prompt asks in our words for
what lmarena/arena-hard-auto's asks for: an answer of the judge's own (not for creative writing), a comparison, a label.
"""

from collections.abc import Callable, Sequence
from typing import Any

from afterbase.eval.benchmarks.question_answers import Question, answers, shown
from afterbase.eval.benchmarks.subject import Subject
from afterbase.eval.judge_bias import Battle
from afterbase.eval.judged.arena_hard.score import Version, first_share, verdict
from afterbase.eval.judged.questions import ArenaQuestion
from afterbase.rollout.chat_model import ChatModel, Reply

CREATIVE = "creative_writing"

_TASK = """Compare the answers of two assistants, A and B, to the prompt below, and say which one is better.
{own}Look for mistakes in both. A good answer is correct, does what is asked for, says what is needed and no more than \
that, and does not leave out what a careful reader would miss. Neither the order of the answers nor their length counts.
End with exactly one of these labels in double brackets:
[[A>>B]] A is much better; [[A>B]] A is somewhat better; [[A=B]] both are about as good; [[B>A]] B is somewhat better; \
[[B>>A]] B is much better.

[Prompt]
{prompt}
[End of the prompt]

[Answer of assistant A]
{a}
[End of the answer of assistant A]

[Answer of assistant B]
{b}
[End of the answer of assistant B]"""
_OWN = "First write an answer of your own, to compare both with.\n"
_AGAIN = (
    "\n\n[Your judgement so far]\n{judgement}\n\nGo on, and end with your label in double brackets, such as [[A=B]]."
)


def judge(
    judging: Subject,
    asked: ChatModel,
    questions: Sequence[ArenaQuestion],
    *,
    contestant: Sequence[Reply],
    baseline: Sequence[Reply],
    version: Version,
    max_tokens: int,
    on_answered: Callable[[int], None] | None = None,
) -> list[list[dict[str, Any]]]:
    """For each question its two games, {score, judgment}: greedy; in 0.1 a judge without label is asked again."""
    prompts = []
    for question, ours, theirs in zip(questions, contestant, baseline, strict=True):
        prompts += [prompt_of(question, shown(theirs), shown(ours)), prompt_of(question, shown(ours), shown(theirs))]
    replies = _replies(judging, asked, prompts, max_tokens, on_answered)
    texts = [reply.text for reply in replies]
    labels = [_label(reply, reply.text, version) for reply in replies]
    again = [i for i, r in enumerate(replies) if version == "0.1" and labels[i] is None and "[[" not in shown(r)]
    more = [prompts[i] + _AGAIN.format(judgement=shown(replies[i])) for i in again]
    for i, reply in zip(again, _replies(judging, asked, more, max_tokens, None), strict=True):
        texts[i] = f"{texts[i]}\n{reply.text}"
        labels[i] = _label(reply, f"{shown(replies[i])}\n{reply.text}", version)
    games = [{"score": label, "judgment": text} for label, text in zip(labels, texts, strict=True)]
    return [games[i : i + 2] for i in range(0, len(games), 2)]


def _label(last: Reply, text: str, version: Version) -> str | None:
    """The label that a judge's text ends in; none of a text whose last reply was cut off."""
    return None if last.truncated else verdict(text, version)


def prompt_of(question: ArenaQuestion, a: str, b: str) -> str:
    """What the judge is asked about answer A and answer B."""
    own = "" if question.category == CREATIVE else _OWN
    return _TASK.format(own=own, prompt=question.prompt, a=a, b=b)


def row_of(question: ArenaQuestion, games: list[dict[str, Any]], *, judge: str, model: str, baseline: str) -> dict:
    """A row of a public model_judgment file."""
    who = {"judge": judge, "model": model, "baseline": baseline}
    return {"uid": question.uid, "question_id": question.uid, "category": question.category, **who, "games": games}


def battle_of(
    question: ArenaQuestion,
    games: Sequence[dict[str, Any]],
    *,
    contestant: Reply,
    baseline: Reply,
    version: Version,
) -> Battle:
    """The two games as calibration sees them."""
    second, first = (first_share(game["score"], version) for game in games)
    return Battle(
        question=question.uid,
        task=question.kind,
        shown_first=first,
        shown_second=None if second is None else 1 - second,
        longer=len(shown(contestant)) - len(shown(baseline)),
    )


def _replies(
    judging: Subject,
    asked: ChatModel,
    prompts: Sequence[str],
    max_tokens: int,
    on_answered: Callable[[int], None] | None,
) -> list[Reply]:
    questions = [Question(prompt=prompt, temperature=0.0) for prompt in prompts]
    return answers(judging, asked, questions, max_tokens=max_tokens, seed=0, on_answered=on_answered)
