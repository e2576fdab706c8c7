"""The engine over HTTP, with the server that is shipped and a toy model instead of vLLM; then what may go wrong."""

import gc
import http.server
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from afterbase.core.errors import UserError
from afterbase.model.attention import Segments
from afterbase.rollout.engine import Completion, FinishReason, Sampling
from afterbase.rollout.vllm import vllm_client
from afterbase.rollout.vllm.vllm_client import Deadlines
from afterbase.rollout.vllm.vllm_engine import Patience, VllmEngine
from afterbase.rollout.vllm.vllm_server.serving import RefusedError
from rollout_server import Running, ToySampler

PROMPTS = [[5, 9, 11], [7, 8], [5, 9, 11]]
SAMPLING = Sampling(temperature=0.7, max_new_tokens=9, stop_token_ids=(3,), seed=4)
PATIENCE = Patience(retries=6, first_pause=0.02)


@pytest.fixture
def start(toy_folder) -> Iterator[Callable[..., Running]]:
    servers: list[Running] = []

    def started(kind: type[ToySampler] = ToySampler, **settings: Any) -> Running:
        servers.append(Running(kind(toy_folder), **settings))
        return servers[-1]

    yield started
    for server in servers:
        server.kill()


@pytest.fixture
def connect(toy_lm) -> Iterator[Callable[..., VllmEngine]]:
    engines: list[VllmEngine] = []

    def connected(server: Running, **settings: Any) -> VllmEngine:
        engines.append(VllmEngine(server.url, toy_lm, **{"patience": PATIENCE, **settings}))
        return engines[-1]

    yield connected
    for engine in engines:
        engine.close()


@torch.no_grad()
def moved(lm) -> None:
    """A step of training that anyone would notice."""
    for weight in lm.model.parameters():
        weight.mul_(1.5)


def answers(results: list[list[Completion]]) -> list[list[tuple[list[int], str]]]:
    return [[(c.token_ids, c.finish) for c in group] for group in results]


@torch.no_grad()
def logps_of(lm, prompt: list[int], token_ids: list[int], temperature: float) -> list[float]:
    ids = torch.tensor([*prompt, *token_ids])
    logps = (lm.logits(lm.hidden(ids, Segments.of([len(ids)]))) / temperature).log_softmax(-1)
    return logps[len(prompt) - 1 : -1].gather(1, ids[len(prompt) :, None])[:, 0].tolist()


def test_samples_are_those_of_the_weights_at_the_last_sync(start, connect, toy_lm):
    engine = connect(start())
    seen = []
    for version in (7, 8):
        moved(toy_lm)
        engine.sync(version)
        results = engine.generate(PROMPTS, samples=3, sampling=SAMPLING)
        seen.append(answers(results))
        for index, (prompt, group) in enumerate(zip(PROMPTS, results, strict=True)):
            for sample, completion in enumerate(group):
                assert (completion.prompt_index, completion.sample_index) == (index, sample)
                assert completion.weight_version == version
                assert completion.logps == pytest.approx(
                    logps_of(toy_lm, prompt, completion.token_ids, SAMPLING.temperature), abs=1e-4
                )
        assert answers(results)[0] == answers(results)[2], "equal prompts, equal samples"
        assert len({tuple(c.token_ids) for c in results[0]}) == 3, "and every sample has numbers of its own"
    assert seen[0] != seen[1]


def test_greedy_answer_is_sampled_once(start, connect):
    server = start()
    engine = connect(server)
    engine.sync(0)
    results = engine.generate(PROMPTS, samples=4, sampling=replace(SAMPLING, temperature=0.0))
    assert len(server.sampler.asked) == 2, "two prompts that differ"
    assert [len({tuple(c.token_ids) for c in group}) for group in results] == [1, 1, 1]


@pytest.mark.parametrize("ended_before", [0, 1, 4])
def test_server_that_is_killed_and_started_anew_goes_on(start, connect, toy_lm, ended_before):
    engine = connect(undisturbed := start())
    engine.sync(3)
    expected = answers(engine.generate(PROMPTS, samples=3, sampling=SAMPLING))
    undisturbed.kill()

    class Dies(ToySampler):
        def rollout(self, request, aborted):
            for count, line in enumerate(line for line in super().rollout(request, aborted) if line):
                if count == ended_before:
                    server.kill()
                    successors.append(start(port=server.server_port))
                yield line

    server, successors = start(Dies), []
    engine = connect(server)
    engine.sync(3)
    assert answers(engine.generate(PROMPTS, samples=3, sampling=SAMPLING)) == expected
    (successor,) = successors
    assert (successor.version, successor.sampler.loads) == (3, 1), "it was given the weights, unasked"
    assert 1 <= len(successor.sampler.asked) <= 6, "and asked only for what was missing"


def test_weights_sent_to_a_new_server_are_those_of_the_sync(start, connect, toy_lm):
    """A trainer that is ahead of its rollouts has other weights by then."""
    server = start()
    engine = connect(server)
    engine.sync(1)
    expected = answers(engine.generate(PROMPTS, samples=2, sampling=SAMPLING))
    moved(toy_lm)
    server.kill()
    start(port=server.server_port)
    assert answers(engine.generate(PROMPTS, samples=2, sampling=SAMPLING)) == expected


def test_server_that_stays_away_ends_the_run_resumably(start, connect):
    server = start()
    engine = connect(server, patience=Patience(retries=2, first_pause=0.01))
    engine.sync(0)
    server.kill()
    with pytest.raises(UserError, match="may fail 2 times in a row") as error:
        engine.generate(PROMPTS, samples=1, sampling=SAMPLING)
    assert "resumes where it stopped" in error.value.remedy


class Hangs(ToySampler):
    """In so many rollouts, until it is told to stop."""

    times = 1

    def rollout(self, request, aborted):
        self.times -= 1
        hangs = self.times >= 0
        for line in super().rollout(request, aborted):
            while hangs and line is not None and not aborted():
                threading.Event().wait(0.01)
            yield line


def test_server_that_hangs_is_noticed_and_tried_again(start, connect):
    engine = connect(start(Hangs), patience=replace(PATIENCE, deadlines=Deadlines(line=0.3)))
    engine.sync(0)
    results = engine.generate(PROMPTS, samples=2, sampling=SAMPLING)
    assert {c.finish for group in results for c in group} <= {FinishReason.STOP, FinishReason.LENGTH}


def test_server_that_hangs_again_and_again_ends_the_run(start, connect):
    server = start(Hangs)
    server.sampler.times = 3
    engine = connect(server, patience=Patience(retries=2, first_pause=0.01, deadlines=Deadlines(line=0.2)))
    engine.sync(0)
    with pytest.raises(UserError, match="may fail 2 times in a row"):
        engine.generate(PROMPTS, samples=1, sampling=SAMPLING)


def _without_logps(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != "logps"}


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (_without_logps, "tells the log-probability of every sampled token"),
        (lambda line: {**line, "logps": line["logps"][:-1]}, "tells the log-probability of every sampled token"),
        (lambda line: {**line, "logps": [math.nan] * len(line["logps"])}, "a policy has finite logits"),
        (lambda line: {**line, "finish": "content_filter"}, "may fail 1 times in a row"),
        (lambda line: {**line, "sample": 5}, "may fail 1 times in a row"),
    ],
    ids=["no logps", "a logp short", "nan", "unknown reason", "not asked for"],
)
def test_completion_that_cannot_be_trained_on_is_refused(start, connect, spoil, rule):
    class Spoils(ToySampler):
        def rollout(self, request, aborted):
            yield from (line and spoil(line) for line in super().rollout(request, aborted))

    engine = connect(start(Spoils), patience=Patience(retries=1, first_pause=0.01))
    engine.sync(0)
    with pytest.raises(UserError, match=rule):
        engine.generate(PROMPTS, samples=1, sampling=SAMPLING)


def test_completion_of_other_weights_is_refused(start, connect):
    class Changes(ToySampler):
        def rollout(self, request, aborted):
            for line in super().rollout(request, aborted):
                server.version = 9  # someone else's update
                yield line

    server = start(Changes)
    engine = connect(server)
    engine.sync(8)
    with pytest.raises(UserError, match="from the weights of the last sync") as error:
        engine.generate(PROMPTS, samples=1, sampling=SAMPLING)
    assert "version 9 instead of 8" in error.value.got


def test_two_runs_at_the_same_step_do_not_take_each_others_weights(start, connect, toy_lm):
    server = start()
    ours, theirs = connect(server), connect(server)
    ours.sync(5)
    expected = answers(ours.generate(PROMPTS, samples=1, sampling=SAMPLING))
    moved(toy_lm)
    theirs.sync(5)
    assert answers(ours.generate(PROMPTS, samples=1, sampling=SAMPLING)) == expected
    assert server.sampler.loads == 3, "ours were sent again"


@pytest.mark.parametrize("times", [1, 9])
def test_weights_that_change_on_the_way_are_not_loaded(start, connect, monkeypatch, times):
    whole, left = vllm_client._pieces, [times]

    def pieces(path: Path) -> Iterator[bytes]:
        for piece in whole(path):
            left[0] -= 1
            yield piece[:-1] + bytes([piece[-1] ^ 1]) if left[0] >= 0 else piece

    monkeypatch.setattr(vllm_client, "_pieces", pieces)
    server = start()
    engine = connect(server, patience=Patience(retries=2, first_pause=0.01))
    if times == 1:
        engine.sync(0)
        assert (server.version, server.sampler.loads) == (0, 1)
        return
    with pytest.raises(UserError, match="may fail 2 times") as error:
        engine.sync(0)
    assert "SHA-256" in error.value.got
    assert (server.version, server.sampler.loads) == (None, 0)


def test_probe_catches_weights_that_never_reach_the_engine(start, connect, toy_lm):
    class Forgets(ToySampler):
        def load(self, folder):
            pass

    engine = connect(start(Forgets))
    engine.sync(0)
    moved(toy_lm)
    with pytest.raises(UserError, match=r"agree to 0\.001 nats") as error:
        engine.sync(1)
    assert "never reached the engine" in error.value.got


def test_weights_that_the_server_cannot_load_leave_it_without_any(start, connect):
    class Refuses(ToySampler):
        def load(self, folder):
            if self.loads:
                raise RefusedError(422, "another model's weights")
            super().load(folder)

    server = start(Refuses)
    engine = connect(server, patience=Patience(retries=1, first_pause=0.01))
    engine.sync(0)
    with pytest.raises(UserError, match="may fail 1 times") as error:
        engine.sync(1)
    assert "another model's weights" in error.value.got
    assert server.version is None


def test_abort_ends_everything_with_what_it_has(start, connect):
    engine = connect(start())
    engine.sync(2)
    seen: list[Completion] = []
    for completion in engine.stream(PROMPTS, samples=3, sampling=SAMPLING, abort=lambda: len(seen) >= 2):
        seen.append(completion)
    assert {(c.prompt_index, c.sample_index) for c in seen} == {(p, s) for p in range(3) for s in range(3)}
    assert FinishReason.ABORT in {c.finish for c in seen}
    assert all(len(c.logps) == len(c.token_ids) for c in seen)
    none = list(engine.stream(PROMPTS, samples=2, sampling=SAMPLING, abort=lambda: True))
    assert [(c.finish, c.token_ids, c.weight_version) for c in none] == [(FinishReason.ABORT, [], 2)] * 6


def test_rollout_that_someone_else_ends_is_asked_for_again(start, connect):
    class Ended(ToySampler):
        times = 1

        def rollout(self, request, aborted):
            self.times -= 1
            ends = self.times >= 0
            yield from super().rollout(request, lambda: ends or aborted())

    engine = connect(start(Ended))
    engine.sync(0)
    results = engine.generate(PROMPTS, samples=1, sampling=SAMPLING)
    assert FinishReason.ABORT not in {c.finish for group in results for c in group}


def test_caller_that_goes_leaves_the_server_free(start, connect):
    engine = connect(start())
    engine.sync(0)
    stream = engine.stream(PROMPTS, samples=12, sampling=SAMPLING)
    next(stream)
    stream.close()
    assert len(engine.generate(PROMPTS, samples=1, sampling=SAMPLING)) == 3


def test_prompt_that_the_server_refuses_is_the_users_mistake(start, connect):
    engine = connect(start())
    engine.sync(0)
    with pytest.raises(UserError, match="able to meet a request") as error:
        engine.generate([[]], samples=1, sampling=SAMPLING)
    assert "prompts[0]` is a list of 1 to" in error.value.got


def test_token_is_asked_for(start, connect):
    server = start(token="right")
    for token in (None, "wrong"):
        with pytest.raises(UserError, match="must be shown the token"):
            connect(server, token=token)
    connect(server, token="right").sync(0)
    assert server.version == 0


def test_server_must_be_there_from_the_start(start, toy_lm):
    server = start()
    server.kill()
    with pytest.raises(UserError, match="must be running before") as error:
        VllmEngine(server.url, toy_lm)
    assert "afterbase serve-rollouts" in error.value.remedy


def test_top_p_is_refused(start, connect, toy_lm):
    engine = connect(start())
    engine.sync(0)
    with pytest.raises(UserError, match="does not tell which tokens top_p kept"):
        engine.generate([[1]], samples=1, sampling=replace(SAMPLING, top_p=0.9))


def test_server_of_another_model_is_refused(start, connect):
    class Other(ToySampler):
        def describe(self):
            return {**super().describe(), "vocabulary": 7}

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(UserError, match="runs the model that is trained") as error:
            connect(start(Other))
        assert "a vocabulary of 7" in error.value.got
        del error
        gc.collect()
    assert not [warning for warning in seen if "unclosed" in str(warning.message)]


class _Endpoint(http.server.BaseHTTPRequestHandler):
    """What an OpenAI-compatible server says to requests that it does not know."""

    status, body = 404, b'{"error": {"message": "Not Found"}}'

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize(("status", "body"), [(404, _Endpoint.body), (200, b"{}")])
def test_openai_compatible_endpoint_is_told_apart(toy_lm, status, body):
    kind = type("Endpoint", (_Endpoint,), {"status": status, "body": body})
    with http.server.HTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(UserError, match="takes new weights after each step") as error:
                VllmEngine(f"http://127.0.0.1:{server.server_port}", toy_lm)
        finally:
            server.shutdown()
            thread.join()
    assert "OpenAI-compatible" in error.value.remedy
