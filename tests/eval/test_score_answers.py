from afterbase.core.sample import Problem, write_problems
from afterbase.core.store import Store
from afterbase.eval.config import Evaluation
from afterbase.eval.held_out import evaluate, read_answers
from afterbase.eval.score_answers import BY_MODEL, score_answers, without_suffix
from afterbase.eval.summarise import summarise
from afterbase.model.load import save
from afterbase.reward.scalar import new_reward_model, save_reward_model


def test_answers_that_no_rule_judges_get_the_reward_models_scores(tmp_path, toy_lm):
    store = Store(tmp_path / "store")
    cards = [Problem(domain="cards", prompt=f"Card {n}?", gold=None, verifier="none", spec={}) for n in range(3)]
    problems = store.produce(
        "problems", "toy", 1, what={"test": 3, "train": 0}, inputs={},
        make=lambda work: write_problems(work.payload / "test.parquet", cards),
    )  # fmt: skip
    model = store.produce("toy", "toy", 1, what={"m": 1}, inputs={}, make=lambda work: save(toy_lm, work.payload))
    config = Evaluation(problems=3, samples=1, temperature=1.0, max_new_tokens=4)
    answers = evaluate(store, "SFT", model, "cards", problems, config, seed=0)
    assert {row["reason"] for row in read_answers(answers)} == {"no_rule"}
    rewarder = new_reward_model(toy_lm)
    reward = store.produce(
        "reward", "toy", 1, what={"r": 1}, inputs={}, make=lambda work: save_reward_model(rewarder, work.payload)
    )
    scored = read_answers(score_answers(store, answers, problems, reward, seed=0))
    assert [row["id"] for row in scored] == [row["id"] for row in read_answers(answers)]
    assert {row["domain"] for row in scored} == {f"cards{BY_MODEL}"}
    assert all(0 < row["value"] < 1 and row["reason"] == "scored" for row in scored)
    assert without_suffix(f"cards{BY_MODEL}") == "cards"


def test_an_interval_of_scores_is_no_interval_of_trials():
    row = {
        "checkpoint": "SFT", "domain": f"cards{BY_MODEL}", "decoding": "greedy", "system_prompt": False,
        "sample_index": 0, "status": "wrong", "answer": None, "tokens": 4, "truncated": False, "well_formed": True,
    }  # fmt: skip
    rows = [{**row, "problem_id": str(at), "value": value} for at, value in enumerate((0.45, 0.5, 0.4))]
    [found] = summarise(rows)  # type: ignore[arg-type]
    assert found["pass1_low"] is not None
    assert found["pass1_high"] is not None
    assert 0.4 <= found["pass1_low"] < 0.45 < found["pass1_high"] <= 0.5
