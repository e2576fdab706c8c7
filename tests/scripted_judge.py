"""A judge that says what a test wants."""

from collections.abc import Callable, Sequence
from typing import Any

from afterbase.reward.judge import Failed
from afterbase.rollout.chat_model import ChatRequest, Failure, Reason, Reply


class ScriptedJudge:
    """Verdicts are `say(texts, seed, sample)`, texts being what stands between the fences; a `Failed` is none."""

    def __init__(self, say: Callable[[list[str], int | None, int], Any]) -> None:
        self.say = say
        self.asked: list[list[str]] = []

    def describe(self) -> dict[str, str]:
        return {"name": "scripted"}

    def complete(
        self, requests: Sequence[ChatRequest], *, on_finished: Callable[[int, Reply], None] | None = None
    ) -> list[Reply]:
        return [self._reply(request) for request in requests]

    def _reply(self, request: ChatRequest) -> Reply:
        prompt = request.messages[-1]["content"]
        mark = prompt.splitlines()[-1].split("`")[1].split()[1].rstrip(":")
        texts = prompt.split(f"\n{mark}\n")[1::2]
        self.asked.append(texts)
        said = self.say(texts, request.seed, request.sample)
        if said is Failed.REFUSED:
            return Reply(failure=Failure(reason=Reason.REFUSED, detail="no"))
        if said is Failed.NO_VERDICT:
            return Reply(text="Hm.")
        return Reply(text=f"Thought.\nVerdict {mark}: {said}", finish="length" if said is Failed.CUT_OFF else "stop")
