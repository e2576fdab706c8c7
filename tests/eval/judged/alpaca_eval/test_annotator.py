"""Preferences from log-probabilities in any order; recorded ones, replayed over HTTP, give the published rates."""

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from afterbase.core.rows import read_table
from afterbase.eval.judged.alpaca_eval.annotator import annotate, probability_of_m, request_of, shows_model_first
from afterbase.eval.judged.questions import Instruction
from afterbase.rollout.endpoint.endpoint_client import Endpoint, EndpointConfig
from chatting import chatting


def asked(url: str, name: str = "judge") -> Endpoint:
    return Endpoint(EndpointConfig(url=url, model=name))


@given(st.floats(-30, 0), st.floats(-30, 0))
def test_the_two_names_share_all_probability(m: float, other: float) -> None:
    p = probability_of_m({"m": m, "M": other, "x": 0.0})
    q = probability_of_m({"m": other, "M": m})
    assert p is not None
    assert q is not None
    assert p + q == pytest.approx(1)
    assert p == pytest.approx(1 / (1 + math.exp(other - m)))


def test_a_name_that_is_missing_has_no_probability() -> None:
    assert probability_of_m({"m": -3.0}) == 1
    assert probability_of_m({"M": -3.0}) == 0
    assert probability_of_m({"x": 0.0}) is None


def test_the_order_is_drawn_for_each_instruction_and_undone() -> None:
    instructions = [Instruction(instruction=f"task {i}", output="base", generator="b") for i in range(40)]
    assert 10 < sum(shows_model_first(row.instruction) for row in instructions) < 30

    def prefers_the_model(prompt: str) -> dict[str, float]:
        first = re.findall(r'<output model="(m|M)">\nmine\n', prompt)
        return {first[0]: math.log(0.8), "M" if first[0] == "m" else "m": math.log(0.2)}

    with chatting("judge", prefers_the_model) as judge:
        rows = annotate(asked(judge.url), instructions, ["mine"] * 40, model="new")
    assert [row["preference"] for row in rows] == [pytest.approx(1.8)] * 40
    assert {(row["generator_1"], row["generator_2"], row["output_2"]) for row in rows} == {("b", "new", "mine")}


def test_a_judge_that_names_neither_has_no_preference() -> None:
    instructions = [Instruction(instruction="task", output="base", generator="b")]
    for answer in ({"yes": -0.1}, "m"):  # other names; no log-probabilities at all
        with chatting("judge", lambda _, answer=answer: answer) as judge:
            assert annotate(asked(judge.url), instructions, ["mine"], model="new")[0]["preference"] is None


def test_of_equal_outputs_nobody_is_asked() -> None:
    instructions = [Instruction(instruction="task", output="same", generator="b")]
    with chatting("judge", lambda _: {"m": -0.1}) as judge:
        assert annotate(asked(judge.url), instructions, ["same"], model="new")[0]["preference"] == 1.5
    assert judge.prompts == []


def test_the_request_is_the_benchmarks() -> None:
    request = request_of("task", baseline="base", model="mine")
    assert (request.max_tokens, request.top_logprobs, request.temperature) == (1, 5, 1.0)


class Recorded(BaseModel):
    index: int
    preference: float
    logprob_m: float | None = None
    logprob_M: float | None = None
    model_is: str | None = None


@pytest.mark.parametrize("model", ["claude-2.1", "gemma-7b-it"])
def test_recorded_verdicts_replayed_through_the_client_give_the_published_win_rate(
    afterbase_data: Path, model: str
) -> None:
    folder = afterbase_data / "alpaca_eval"
    rows = read_table(folder / f"{model}.csv.gz", Recorded)
    published = {entry["model"]: entry["published"] for entry in json.loads((folder / "published.json").read_text())}
    by_index = {row.index: row for row in rows}
    assert len(rows) == published[model]["n_total"]

    def replay(prompt: str) -> dict[str, float]:
        """The recorded candidates, under the names that this prompt has given out."""
        index = int(re.findall(r"instruction (\d+)", prompt)[0])
        ours = re.findall(r'<output model="(m|M)">\nthe model\n', prompt)[0]
        row = by_index[index]
        said = {"m": row.logprob_m, "M": row.logprob_M}
        if ours != row.model_is:
            said = {"m": said["M"], "M": said["m"]}
        return {name: logp for name, logp in said.items() if logp is not None}

    instructions = [Instruction(instruction=f"instruction {row.index}", output="base", generator="b") for row in rows]
    with chatting("gpt-4-1106-preview", replay) as judge:
        outputs = ["the model" if row.model_is != "?" else "base" for row in rows]  # nobody was asked about equal ones
        found = annotate(asked(judge.url, "gpt-4-1106-preview"), instructions, outputs, model=model)
    win_rate = 100 * sum(row["preference"] - 1 for row in found) / len(found)
    assert win_rate == pytest.approx(published[model]["win_rate"], abs=1e-6)
