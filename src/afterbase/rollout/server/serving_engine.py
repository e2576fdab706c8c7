"""The running batch of a server: requests join and leave at any step, each with settings of its own.

One thread computes. It samples what `LocalEngine` samples for the same seed, prompt and sample index, and gives every
token as it is drawn. Samples of like length run together (`scheduler.py`): a long one takes neither room nor time of
the short ones but its own. Not covered: speculative decoding, and weights that change while the server runs.
"""

import queue
from threading import Thread

from transformers import PreTrainedModel

from afterbase.core.errors import UserError
from afterbase.model.decoding.decoder import decoder_for
from afterbase.model.families import context_length
from afterbase.rollout.server.sample_request import SampleRequest
from afterbase.rollout.server.scheduler import Scheduler, ServedRow, WaitingPrompt

_NARROWEST, _WIDER = 1024, 8  # tokens of a sample for the first scheduler, and times as many for each next one
_LOOK_SECONDS = 0.05  # between two looks at readers who are far behind, while nobody else is there


class ServingEngine:
    """Continuous batching of a model that `LocalEngine` takes, for requests that come one by one.

    A sequence has up to `context` tokens, prompt and answer: the model's context or chunk, and at most half of
    `token_budget`. At most `max_rows` samples of like length run at once, and no more than `token_budget` holds at
    twice the widest. Raises UserError where that is less than one, and for other model families.
    """

    def __init__(self, model: PreTrainedModel, *, max_rows: int, token_budget: int) -> None:
        decoder = decoder_for(model, int8=False)
        longest = context_length(model.config)
        self.context = min(longest, decoder.longest or longest, token_budget // 2)
        if min(max_rows, self.context - 1) < 1:
            raise UserError(
                "a server needs room for one prompt and one answer",
                got=f"max_rows {max_rows}, token_budget {token_budget}, a context of {longest} tokens",
                remedy=f"use max_rows of 1 or more, and a token_budget of {2 * longest} for the whole context",
            )
        widths = [_NARROWEST]
        while widths[-1] < self.context:
            widths.append(widths[-1] * _WIDER)
        widths[-1] = self.context
        self._schedulers = [
            Scheduler(
                decoder,
                width=width,
                rows=min(max_rows, token_budget // (2 * width)),
                keep_memory=width == widths[0],
            )
            for width in widths
        ]
        self._inbox: queue.SimpleQueue[SampleRequest | None] = queue.SimpleQueue()
        self._thread = Thread(target=self._serve, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its present step; what is unfinished hears of no end."""
        self._inbox.put(None)
        self._thread.join()

    def submit(self, request: SampleRequest) -> None:
        """Queue a request; from any thread. Prompt and answer have to fit in the context."""
        assert 0 < len(request.prompt) <= self.context - request.sampling.max_new_tokens
        self._inbox.put(request)

    def _serve(self) -> None:
        while self._take():
            for scheduler in self._schedulers:
                outgrown: list[ServedRow] = []
                try:
                    if scheduler.busy:
                        outgrown = scheduler.step()
                except Exception as error:
                    scheduler.fail(error)
                for row in outgrown:
                    self._place(WaitingPrompt(row.request, row))

    def _place(self, waiting: WaitingPrompt) -> None:
        next(scheduler for scheduler in self._schedulers if len(waiting.tokens) < scheduler.width).add(waiting)

    def _take(self) -> bool:
        """Take what has come in, waiting for it where there is nothing else to do; False once it is time to go."""
        idle = not any(scheduler.ready for scheduler in self._schedulers)
        timeout = _LOOK_SECONDS if any(scheduler.busy for scheduler in self._schedulers) else None
        while True:
            try:
                request = self._inbox.get(block=idle, timeout=timeout)
            except queue.Empty:
                return True
            if request is None:
                return False
            self._place(WaitingPrompt(request))
            idle = False
