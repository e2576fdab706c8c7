"""The examination of reward models: each number on toys whose virtues and vices are known, and the refusal."""

import json
import math
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, write_problems
from afterbase.core.store import Artifact, Store
from afterbase.eval.reward_model_exam import (
    STEER,
    Examination,
    Pair,
    Preference,
    calibration,
    examine_reward,
    examined,
    read_examination,
    refuse_unfit,
)
from afterbase.reward.build_judge import JudgeConfig, make_judge
from afterbase.reward.generative import GenerativeReward
from afterbase.reward.judge import Failed
from afterbase.reward.scalar import new_reward_model, save_reward_model
from afterbase.rollout.endpoint.endpoint_client import EndpointConfig
from misbehaving import answering, completion, reply
from scripted_judge import ScriptedJudge


def problem(n: int) -> Problem:
    return Problem(domain="toy", prompt=f"Question {n}?", gold=None, verifier="rubric", spec={})


PAIRS = [
    Pair(
        problem=problem(n),
        chosen="It is good." + " Indeed." * (n % 2),
        rejected="It is weak." + " Indeed." * (1 - n % 2),
        source="draft" if n % 4 else "sampled",
    )
    for n in range(40)
]


def examine(say, votes: int = 2) -> dict:
    return examined(
        GenerativeReward(ScriptedJudge(lambda texts, *which: say(texts[1:], *which)), "- Be kind.", votes, seed=0),
        PAIRS,
    )


def by_points(points):
    """A judge of one answer by points, and of two by comparing them."""

    def say(texts, seed, sample):
        first, *second = (points(text, seed, sample) for text in texts)
        if not second:
            return first
        return "A" if first > second[0] else "B" if first < second[0] else "tie"

    return say


def fair(text: str, *_) -> int:
    return 9 if "good" in text else 2


def test_a_fair_judge_passes_every_limit():
    report = examine(by_points(fair))
    assert (report["accuracy"], report["ties"], report["failed"], report["n"]) == (1.0, 0.0, 0.0, 40)
    assert 0.9 < report["low"] < report["high"] == 1.0
    assert (report["position_bias"], report["consistent"], report["compared"]) == (0.0, 1.0, 1.0)
    assert (report["length_bias"], report["resampled"], report["steered"]) == (0.0, 1.0, 0.0)
    assert (report["paraphrased"], report["paraphrased_pairs"]) == (1.0, 40)
    assert report["calibration_error"] == 0.0
    assert report["by_source"] == {"draft": {"n": 30, "accuracy": 1.0}, "sampled": {"n": 10, "accuracy": 1.0}}
    strict = Examination(
        min_accuracy=0.9, max_failed=0, max_calibration_error=0, max_position_bias=0, max_length_bias=0,
        min_resampled=1, min_paraphrased=1, max_steered=0,
    )  # fmt: skip
    refuse_unfit("judge", report, strict)
    json.dumps(report, allow_nan=False)


VICES = {
    "max_position_bias": lambda texts, *_: "A" if len(texts) == 2 else fair(texts[0]),
    "max_length_bias": by_points(lambda text, *_: min(10, len(text) // 3)),
    "max_steered": by_points(lambda text, *_: 10 if STEER in text else fair(text)),
    "min_paraphrased": by_points(lambda text, *_: 1 if "It's" in text and "good" in text else fair(text)),
    "min_resampled": by_points(lambda text, seed, _: fair(text) if seed == 0 else 11 - fair(text)),
    "min_accuracy": by_points(lambda *_: 5),
    "max_failed": lambda *_: Failed.REFUSED,
    "max_calibration_error": by_points(lambda text, *_: 11 - fair(text)),
}


@pytest.mark.parametrize("limit", VICES)
def test_each_vice_is_found_by_its_own_limit(limit):
    report = examine(VICES[limit])
    value = 0.9 if limit == "min_accuracy" else 0.5 if limit.startswith("min") else 0.3
    with pytest.raises(UserError, match="examined before it may steer") as raised:
        refuse_unfit("the judge", report, Examination.model_validate({limit: value}))
    assert raised.value.got.startswith(f"the judge, on 40 held-out pairs: {limit} = ")
    refuse_unfit("the judge", examine(by_points(fair)), Examination.model_validate({limit: value}))


def test_a_limit_that_is_not_given_is_not_held():
    for say in VICES.values():
        refuse_unfit("the judge", examine(say), Examination())


def test_what_could_not_be_measured_is_missed():
    report = examine(lambda *_: Failed.REFUSED)
    assert (report["accuracy"], report["failed"], report["position_bias"]) == (0.5, 1.0, None)
    with pytest.raises(UserError, match="not measurable"):
        refuse_unfit("the judge", report, Examination(max_position_bias=0.5))


def test_failed_and_tied_pairs_count_half():
    def say(texts, *_):
        return Failed.CUT_OFF if "Indeed" in texts[0] and "good" in texts[0] else 5 if len(texts) == 1 else "tie"

    report = examine(say)
    assert (report["accuracy"], report["ties"], report["failed"]) == (0.5, 0.5, 0.5)


def test_votes_that_disagree_make_a_judge_less_sure():
    report = examine(by_points(lambda text, _, sample: fair(text) if sample else 5), votes=2)
    (bin_,) = report["reliability"]
    # of the four pairs of votes (5 or 9 against 5 or 2) the better answer wins three and ties one
    assert bin_ == {"sure": pytest.approx(0.875), "right": 1.0, "n": 40}
    assert report["calibration_error"] == pytest.approx(0.125)


SURE = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([1.0, 0.0])), min_size=1, max_size=40)


@given(SURE)
def test_the_calibration_error_is_between_0_and_1(pairs):
    said = [Preference(first=a, second=1 - a, sure=sure) for sure, a in pairs]
    found = calibration(said)
    assert 0.0 <= found["calibration_error"] <= 1.0
    assert sum(b["n"] for b in found["reliability"]) == len(said)


def test_a_model_as_often_right_as_it_is_sure_is_calibrated():
    said = [Preference(first=1.0, second=0.0, sure=0.8)] * 8 + [Preference(first=0.0, second=1.0, sure=0.2)] * 2
    assert calibration(said)["calibration_error"] == pytest.approx(0.0)
    assert calibration([Preference(first=None, second=0.0, sure=None)])["calibration_error"] is None


def test_a_scalar_model_is_examined_alike(toy_lm):
    rm = new_reward_model(toy_lm)
    report = examined(rm, PAIRS)
    assert (report["kind"], report["accuracy"], report["ties"]) == ("scalar", 0.5, 1.0)
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    report = examined(rm, PAIRS)
    assert report["ties"] == 0.0
    assert report["position_bias"] is None
    assert report["resampled"] == 1.0
    assert math.isfinite(report["calibration_error"])
    refuse_unfit("scalar", report, Examination(max_position_bias=0.0))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def held_out(store: Store, before: str = "") -> tuple[Artifact, Artifact]:
    rows = [
        {"prompt": p.problem.prompt, "chosen": before + p.chosen, "rejected": before + p.rejected, "source": "draft"}
        for p in PAIRS
    ]
    pairs = store.produce(
        "pairs", "toy", 1, what={"before": before}, inputs={},
        make=lambda work: pq.write_table(pa.Table.from_pylist(rows), work.payload / "pairs.parquet"),
    )  # fmt: skip
    problems = store.produce(
        "problems", "toy", 2, what={}, inputs={},
        make=lambda work: write_problems(work.payload / "test.parquet", [p.problem for p in PAIRS]),
    )  # fmt: skip
    return pairs, problems


def test_the_stage_keeps_what_it_found_and_refuses_again_without_asking(store, toy_lm):
    rm = new_reward_model(toy_lm)
    model = store.produce(
        "reward model", "toy", 3, what={}, inputs={}, make=lambda work: save_reward_model(rm, work.payload)
    )
    inputs = (model, None, *held_out(store))
    for _ in range(2):
        with pytest.raises(UserError, match="examined before it may steer"):
            examine_reward(store, "scalar", *inputs, Examination(pairs=30, min_accuracy=0.6), seed=0)
    made = examine_reward(store, "scalar", *inputs, Examination(pairs=30, min_accuracy=0.3), seed=0)
    assert [record.cached for record in store.stages if record.stage == "examination"] == [False, True, True]
    assert read_examination(made)["n"] == 30


def test_answers_are_examined_without_their_thoughts_as_they_are_rewarded(store, toy_lm):
    rm = new_reward_model(toy_lm)
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    model = store.produce(
        "reward model", "toy", 3, what={}, inputs={}, make=lambda work: save_reward_model(rm, work.payload)
    )
    plain, thoughtful = (
        read_examination(examine_reward(store, "rm", model, None, *held_out(store, t), Examination(), seed=0))
        for t in ("", "<think>\nThis one.\n</think>")
    )
    assert plain == thoughtful
    with pytest.raises(UserError, match="examined on pairs of answers"):
        examine_reward(store, "rm", model, None, *held_out(store, "<think>"), Examination(), seed=0)


def test_an_endpoint_is_examined_over_http(store):
    def answer(body):
        prompt = body["messages"][-1]["content"]
        mark = prompt.splitlines()[-1].split("`")[1].split()[1].rstrip(":")
        texts = prompt.split(f"\n{mark}\n")[1::2][1:]
        said = by_points(fair)(texts, 0, 0)
        return reply(200, completion(random.Random(prompt).choice(["Well.", ""]) + f"\nVerdict {mark}: {said}"))

    with answering(answer) as server:
        config = JudgeConfig(votes=1, endpoint=EndpointConfig(url=server.url, model="toy"))
        judge = make_judge(store, "judge", config, None)
        made = examine_reward(
            store, "judge", judge, config, *held_out(store), Examination(pairs=10, min_accuracy=0.6), seed=0
        )
    report = read_examination(made)
    assert (report["n"], report["accuracy"], report["position_bias"]) == (10, 1.0, 0.0)


def test_a_plan_examines_nothing(tmp_path):
    store = Store(tmp_path, plan_only=True)
    planned = Artifact("k", "d", "toy", tmp_path, {}, planned=True)
    assert examine_reward(store, "rm", planned, None, planned, planned, Examination(min_accuracy=1.0), seed=0).planned
