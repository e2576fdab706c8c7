"""The rollout engine in another process, or on another machine: a vLLM server that is given the weights at each sync.

After each update the server names the version and the checksum of what it holds, and scores a fixed text, which must
come out as it does here. A server that breaks off, hangs or is started again is tried again, with longer and longer
pauses; it gets the weights of the last sync first, and is asked only for what is still missing.

The seed of a sample is a hash of (seed, prompt, sample index), so neither a restart nor the batch changes the numbers
drawn. The logits are vLLM's, whose last digits do depend on the batch: where two tokens are nearly as likely, another
one may be taken.

Does not cover: routed experts, and a model that is spread over ranks.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from afterbase.core.errors import UserError
from afterbase.model.load import LanguageModel
from afterbase.rollout.engine import Completion, Engine, FinishReason, Sampling
from afterbase.rollout.vllm.vllm_client import Client, Deadlines, OtherWeightsError, ServerFaultError
from afterbase.rollout.vllm.vllm_weights import Snapshot


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a server may fail: so many retries in a row, after pauses in seconds that double up to the longest.

    The defaults wait three minutes in all, enough for a restart.
    """

    retries: int = 8
    first_pause: float = 1.0
    longest_pause: float = 60.0
    deadlines: Deadlines = field(default_factory=Deadlines)


def refuse_absent(client: Client) -> None:
    """UserError where no rollout server answers."""
    try:
        client.state()
    except ServerFaultError as fault:
        raise UserError(
            "a rollout server must be running before the run that samples from it",
            got=f"{client.url}: {fault}",
            remedy="start it with `afterbase serve-rollouts MODEL --env PATH`, and wait for its address",
        ) from fault


class VllmEngine(Engine):
    """A rollout server at `url` that samples from `lm`, as it was at the last `sync`; `token` as for `Client`.

    Raises UserError where no such server answers, and for one whose vocabulary is not the model's.
    """

    def __init__(
        self, url: str, lm: LanguageModel, *, token: str | None = None, patience: Patience | None = None
    ) -> None:
        self._lm = lm
        self._patience = patience or Patience()
        self._client = Client(url, token=token, deadlines=self._patience.deadlines)
        self._snapshot: Snapshot | None = None
        try:
            refuse_absent(self._client)
            self._dtype()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Forget the copy of the weights, and the server."""
        if self._snapshot is not None:
            self._snapshot.close()
        self._client.close()

    def sync(self, version: int) -> None:
        """Send the model's present weights, have their checksum verified, and probe."""
        if self._snapshot is not None:
            self._snapshot.close()
        self._snapshot = Snapshot.of(self._lm, version=version)
        failures = _Failures(self._client.url, self._patience)
        while True:
            try:
                return self._push()
            except (ServerFaultError, OtherWeightsError) as fault:
                failures.wait(fault)

    def stream(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        samples: int,
        sampling: Sampling,
        abort: Callable[[], bool] | None = None,
    ) -> Iterator[Completion]:
        """`samples` completions of each prompt, each as it ends; `abort` is asked at least once a second.

        Equal prompts get equal samples, and are sampled once. Raises UserError for a prompt that the server refuses,
        for completions without log-probabilities or of other weights, and for a server that stays away.
        """
        assert self._snapshot is not None and not sampling.top_logps, "`sync` first; candidates are the local engine's"
        if sampling.keeps_part:
            raise UserError(
                "a rollout server samples from the whole vocabulary: it does not tell which tokens top_p kept",
                got=f"top_p = {sampling.top_p}",
                remedy="use the local engine, or top_p = 1",
            )
        places: dict[tuple[int, ...], list[int]] = {}
        for index, prompt in enumerate(prompts):
            places.setdefault(tuple(prompt), []).append(index)
        distinct = list(places)
        computed = 1 if sampling.temperature == 0.0 else samples
        for ended in self._sampled(distinct, computed, sampling, abort):
            copies = range(samples) if computed < samples else [ended.sample_index]
            for prompt_index in places[distinct[ended.prompt_index]]:
                for sample_index in copies:
                    yield Completion(
                        token_ids=list(ended.token_ids),
                        logps=list(ended.logps),
                        finish=ended.finish,
                        prompt_index=prompt_index,
                        sample_index=sample_index,
                        weight_version=ended.weight_version,
                    )

    def _sampled(
        self,
        prompts: Sequence[tuple[int, ...]],
        samples: int,
        sampling: Sampling,
        abort: Callable[[], bool] | None,
    ) -> Iterator[Completion]:
        """Each (prompt, sample) once, whatever happens to the server in between."""
        missing = {(prompt, sample) for prompt in range(len(prompts)) for sample in range(samples)}
        failures = _Failures(self._client.url, self._patience)
        asked, holds_ours = _Asked(abort), True
        while missing and not asked.now():
            try:
                if not holds_ours:
                    self._push()
                    holds_ours = True
                for ended in self._rollout(prompts, sorted(missing), sampling, asked):
                    missing.remove((ended.prompt_index, ended.sample_index))
                    failures.forget()
                    yield ended
            except OtherWeightsError as other:
                holds_ours = False
                failures.wait(other)
            except ServerFaultError as fault:
                self._client.abort()  # it may only have been slow, and still be at it
                failures.wait(fault)
        for prompt, sample in sorted(missing):
            yield _nothing(prompt, sample, self._version)

    def _rollout(
        self,
        prompts: Sequence[tuple[int, ...]],
        places: Sequence[tuple[int, int]],
        sampling: Sampling,
        asked: "_Asked",
    ) -> Iterator[Completion]:
        assert self._snapshot is not None
        body = {
            "version": self._version,
            "sha256": self._snapshot.checksum,
            "prompts": prompts,
            "rows": [[prompt, sample, _seed(sampling.seed, prompts[prompt], sample)] for prompt, sample in places],
            "temperature": sampling.temperature,
            "max_new_tokens": sampling.max_new_tokens,
            "stop_token_ids": sampling.stop_token_ids,
        }
        expected = set(places)
        for line in self._client.generate(body):
            if not asked.said and asked.now():
                self._client.abort()
            if "done" in line or "alive" in line:
                continue
            ended = _completion(line, self._version)
            place = (ended.prompt_index, ended.sample_index)
            if place not in expected:
                raise ServerFaultError(f"a completion that was not asked for: {place}")
            if ended.finish is FinishReason.ABORT and not asked.said:
                raise ServerFaultError("someone else ended the rollout")
            expected.remove(place)
            yield ended
        if expected:
            raise ServerFaultError(f"{len(expected)} completions are missing")

    @property
    def _version(self) -> int:
        assert self._snapshot is not None
        return self._snapshot.version

    def _push(self) -> None:
        """Bring the weights of the last sync there; their checksum and the probe prove it."""
        snapshot = self._snapshot
        assert snapshot is not None
        dtype = self._dtype()
        held = self._client.update(snapshot.path, version=snapshot.version, checksum=snapshot.checksum)
        if (held.get("version"), held.get("checksum")) != (snapshot.version, snapshot.checksum):
            raise ServerFaultError(
                f"after an update to version {snapshot.version}, {snapshot.checksum}, the server holds {held}"
            )
        scored = self._client.score(snapshot.token_ids, version=snapshot.version, checksum=snapshot.checksum)
        snapshot.probe(scored, dtype=dtype)

    def _dtype(self) -> str:
        """What the server computes in; UserError if it serves a model of another vocabulary."""
        state, ours = self._client.state(), self._lm.head.weight.shape[0]
        if state["vocabulary"] != ours:
            raise UserError(
                "a rollout server runs the model that is trained",
                got=f"a vocabulary of {state['vocabulary']} at {self._client.url} ({state['model']}), {ours} here",
                remedy="start the server with the folder that this run starts from",
            )
        return state["dtype"]


class _Asked:
    """Whether the caller wants no more; once `said`, it is not asked again."""

    def __init__(self, abort: Callable[[], bool] | None) -> None:
        self._abort = abort
        self.said = False

    def now(self) -> bool:
        self.said = self.said or (self._abort is not None and self._abort())
        return self.said


class _Failures:
    """Failures in a row, and the pauses after them."""

    def __init__(self, url: str, patience: Patience) -> None:
        self._url = url
        self._patience = patience
        self._count = 0

    def forget(self) -> None:
        self._count = 0

    def wait(self, failure: Exception) -> None:
        """Pause before the next try; UserError if there have been enough."""
        if self._count == self._patience.retries:
            raise UserError(
                f"a rollout server may fail {self._patience.retries} times in a row",
                got=f"{self._url}: {failure}",
                remedy="see to the server, then start the same command again: the run resumes where it stopped",
            ) from failure
        time.sleep(min(self._patience.first_pause * 2**self._count, self._patience.longest_pause))
        self._count += 1


def _seed(seed: int, prompt: Sequence[int], sample: int) -> int:
    """63 bits."""
    text = f"{seed}|{sample}|{','.join(map(str, prompt))}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def _nothing(prompt: int, sample: int, version: int) -> Completion:
    return Completion(
        token_ids=[],
        logps=[],
        finish=FinishReason.ABORT,
        prompt_index=prompt,
        sample_index=sample,
        weight_version=version,
    )


def _completion(line: dict[str, Any], version: int) -> Completion:
    """A completion as the server tells it, once it has been looked at."""
    try:
        completion = Completion(
            token_ids=line["token_ids"],
            logps=line.get("logps") or [],
            finish=FinishReason(line["finish"]),
            prompt_index=line["prompt"],
            sample_index=line["sample"],
            weight_version=line["weight_version"],
        )
    except (KeyError, ValueError) as error:
        raise ServerFaultError(f"not a completion: {error!r} in {str(line)[:80]}") from error
    if completion.weight_version != version:
        raise UserError(
            "completions must come from the weights of the last sync",
            got=f"one of version {completion.weight_version} instead of {version}",
            remedy="give each run a rollout server of its own",
        )
    if len(completion.logps) != len(completion.token_ids):
        raise UserError(
            "a rollout engine tells the log-probability of every sampled token",
            got=f"{len(completion.logps)} log-probabilities for {len(completion.token_ids)} tokens",
            remedy="serve the model with `afterbase serve-rollouts`, which asks vLLM for them",
        )
    if not all(map(math.isfinite, completion.logps)):
        raise UserError(
            "a policy has finite logits",
            got="a log-probability that is infinite or not a number",
            remedy="go back to an earlier checkpoint, with a lower learning rate",
        )
    return completion
