from afterbase.core.sample import Problem, Sample, write_samples
from afterbase.core.store import Store
from afterbase.model.load import save
from afterbase.reward.build_judge import JudgeConfig, load_judge
from afterbase.reward.judge import Case, prompt_of, verdict_line
from afterbase.train.optimizer import Optimisation
from afterbase.train.preference.generative_reward_model import train_generative_reward_model
from afterbase.train.sft import Sft

PRINCIPLES = "- Be kind."
SFT = Sft(
    epochs=60, row_tokens=512, mtp_weight=0.0, optimisation=Optimisation(learning_rate=3e-3, floor=3e-3, warmup_steps=2)
)


def sample(case: Case, score: int) -> Sample:
    said = {"role": "assistant", "content": f"Form: good.\n{verdict_line(case, score)}"}
    return Sample(
        messages=[*prompt_of(case, PRINCIPLES), said], domain="toy", kind="judgement", problem_id=None, producer={}
    )


def test_a_model_learns_to_judge(tmp_path, toy_lm):
    """By heart, which is all that a toy can do: its judgements then have a verdict, and the right one."""
    principles = tmp_path / "principles.txt"
    principles.write_text(PRINCIPLES.removeprefix("- "))
    store = Store(tmp_path / "store")
    problem = Problem(domain="toy", prompt="Say hello.", gold=None, verifier="rubric", spec={})
    cases = [Case(kind="score", question=problem.prompt, answers=(text,)) for text in ("Hi.", "No.")]
    model = store.produce("toy", "toy", 1, what={}, inputs={}, make=lambda work: save(toy_lm, work.payload))
    data = store.produce(
        "toy", "toy", 2, what={}, inputs={},
        make=lambda w: write_samples(
            w.payload / "samples.parquet", [sample(c, s) for c, s in zip(cases, (10, 1), strict=True)]
        ),
    )  # fmt: skip
    config = JudgeConfig(votes=2, temperature=0.1, max_new_tokens=40, principles=str(principles))
    made = train_generative_reward_model(store, "judge", model, data, SFT, config, seed=0)
    judged = load_judge(made, config, seed=0).judge([(problem, "Hi."), (problem, "No.")])
    assert judged == [(1.0, None), (0.0, None)]
