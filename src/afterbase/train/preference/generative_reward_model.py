"""The generative reward model (V3 report section 5.2.1): trained from the SFT checkpoint on judgements.

What it learns is to write the chain of thought that leads to a verdict, and the verdict, by plain supervised
fine-tuning; what it is afterwards is a checkpoint that judges (`reward/generative.py`).
"""

from afterbase.core.store import Artifact, Store
from afterbase.reward.build_judge import JudgeConfig, make_judge
from afterbase.train.sft import Sft, train_sft


def train_generative_reward_model(
    store: Store, name: str, sft: Artifact, judgements: Artifact, training: Sft, config: JudgeConfig, *, seed: int
) -> Artifact:
    """A judge: the SFT checkpoint, trained on the judgements that were kept, with how it is asked.

    >>> training = Sft(epochs=1, optimisation={"learning_rate": 1e-4, "floor": 1e-5})
    >>> config = JudgeConfig(votes=2, max_new_tokens=16)
    >>> judge = train_generative_reward_model(store, "judge", sft, judgements, training, config, seed=0)
    >>> (judge.payload / "judge.json").exists()
    True
    """
    model = train_sft(store, f"{name}, training", sft, judgements, training, seed=seed)
    return make_judge(store, name, config, model)
