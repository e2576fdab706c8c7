"""The families that afterbase names, tiny and random, and what each of them has to do.

`CHECKS` run on a `Case`, in order; each raises AssertionError where a family fails, UserError where it is refused, and
returns what there is to say beside "ok". Windows are shorter than the samples, caps and sinks change the scores.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers as hf
from safetensors import safe_open
from torch import Tensor

import template_toys
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, conversation, write_problems, write_samples
from afterbase.core.store import Artifact, Store
from afterbase.core.tokens import training_rows
from afterbase.data.base_model_checks import refuse_unfit
from afterbase.model.attention import Segments
from afterbase.model.decoding.decode_any import AnyDecoder
from afterbase.model.decoding.decoder import decoder_for
from afterbase.model.load import LanguageModel, load, save
from afterbase.model.probe import logps_alone, refuse_other_lengths, token_log_probabilities
from afterbase.reward.config import is_sequence_classifier
from afterbase.reward.scalar import load_reward_model, new_reward_model, save_reward_model
from afterbase.rollout.engine import Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.train.config import Lora, Optimisation, Sft
from afterbase.train.grpo.config import Grpo
from afterbase.train.grpo.objective import Objective
from afterbase.train.grpo.stage import train_grpo
from afterbase.train.preference.config import Dpo, RewardModelTraining
from afterbase.train.preference.dpo import train_dpo
from afterbase.train.preference.preference_pairs import make_reference_logps
from afterbase.train.preference.reward_model import train_reward_model
from afterbase.train.sft import train_sft
from families_tried import Family
from toys import toy_samples
from zoo import smallest, write

LENGTHS = [26, 1, 12, 13]
IDS = torch.randint(3, 300, (sum(LENGTHS),), generator=torch.Generator().manual_seed(1))
PROMPTS = [IDS[:17].tolist(), IDS[17:20].tolist(), IDS[30:41].tolist()]
FAST_RATE = Optimisation(learning_rate=1e-2)


@dataclass
class Case:
    """One family's folder, and what the checks make of it below `work`."""

    family: Family
    work: Path
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        tokenizer = template_toys.tokenizer(template_toys.source(self.family.template))
        config = self.family.config(vocab_size=len(tokenizer) + 3, **self.family.sizes)
        self.folder = write(self.work / "model", config, tokenizer, scale=3.0)

    @cached_property
    def lm(self) -> LanguageModel:
        return load(self.folder)

    @cached_property
    def theirs(self) -> Any:
        """As transformers alone has it."""
        return hf.AutoModelForCausalLM.from_pretrained(self.folder, attn_implementation="eager").eval()

    @cached_property
    def store(self) -> Store:
        return Store(self.work / "store")

    @cached_property
    def model(self) -> Artifact:
        return self.input("model", lambda folder: save(self.lm, folder))

    @cached_property
    def pairs(self) -> Artifact:
        rows = [{"prompt": f"{n}?", "chosen": f"{n} please", "rejected": f"{n} never, no"} for n in range(8)]
        return self.input("pairs", lambda out: pq.write_table(pa.Table.from_pylist(rows), out / "pairs.parquet"))

    def input(self, name: str, write_payload: Callable[[Path], Any]) -> Artifact:
        return self.store.produce(
            name, name, 1, what={}, inputs={}, make=lambda work: write_payload(work.payload)
        )  # fmt: skip


def loads(case: Case) -> None:
    refuse_unfit(case.folder)
    assert case.lm.model.training is False


def packed_logps(case: Case) -> None:
    """Packed rows have the family's own log-probabilities, also of samples longer than its window."""
    with torch.no_grad():
        ours = token_log_probabilities(case.lm.hidden(IDS, Segments.of(LENGTHS)), case.lm.head, IDS, LENGTHS)
        theirs = logps_alone(case.theirs, IDS, LENGTHS)
    assert ours.std() > 0.1, "probabilities that do not depend on anything show nothing"
    _close(ours, theirs, 1e-5)
    refuse_other_lengths(case.lm, 60, 3)


def packed_gradients(case: Case) -> None:
    """The gradient of all weights, over the largest of each tensor."""
    case.lm.model.zero_grad()
    case.theirs.zero_grad()
    token_log_probabilities(case.lm.hidden(IDS, Segments.of(LENGTHS)), case.lm.head, IDS, LENGTHS).mean().backward()
    logps_alone(case.theirs, IDS, LENGTHS).mean().backward()
    others = dict(case.theirs.named_parameters())
    met = 0
    for name, parameter in case.lm.model.named_parameters():
        ours, theirs = parameter.grad, others[name].grad
        if ours is None or theirs is None:
            assert ours is None or not ours.any(), name
            assert theirs is None or not theirs.any(), name
            continue
        met += 1
        largest = float(theirs.abs().max())
        assert float((ours - theirs).abs().max()) <= 1e-4 * max(largest, 1e-3), name
    case.lm.model.zero_grad()
    assert met > 5


def greedy_decoding(case: Case) -> str:
    """The local engine says what `generate` says."""
    assert isinstance(decoder_for(case.lm.model, int8=False), AnyDecoder) is not case.family.fast
    engine = LocalEngine(case.lm.model, max_rows=2)
    sampling = Sampling(temperature=0.0, max_new_tokens=14, stop_token_ids=(), seed=0)
    results = engine.generate(PROMPTS, samples=1, sampling=sampling)
    for prompt, [completion] in zip(PROMPTS, results, strict=True):
        said = case.theirs.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False, max_new_tokens=14, min_new_tokens=14, pad_token_id=0, eos_token_id=None,
        )  # fmt: skip
        assert list(completion.token_ids) == said[0, len(prompt) :].tolist()
    return "fast" if case.family.fast else "general"


def sampled_logps(case: Case) -> None:
    """Each sampled token has the log-probability that the trainer gives it, prompts shared."""
    sampling = Sampling(temperature=0.7, max_new_tokens=16, stop_token_ids=(), seed=0)
    for prompt, group in zip(
        PROMPTS, LocalEngine(case.lm.model).generate(PROMPTS, samples=3, sampling=sampling), strict=True
    ):
        ids = torch.tensor([token for completion in group for token in (*prompt, *completion.token_ids)])
        lengths = [len(prompt) + 16] * 3
        with torch.no_grad():
            logits = case.lm.logits(case.lm.hidden(ids, Segments.of(lengths))) / 0.7
        for states, completion in zip(logits.log_softmax(-1).split(lengths), group, strict=True):
            chosen = states[len(prompt) - 1 : -1].gather(1, torch.tensor(completion.token_ids)[:, None])[:, 0]
            _close(torch.tensor(completion.logps), chosen, 1e-4)


def saves(case: Case) -> None:
    """Names and shapes on disk stay; transformers reads the moved weights and has their log-probabilities."""
    lm = load(case.folder)
    with torch.no_grad():
        for parameter in lm.model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
        save(lm, case.work / "moved")
        again = hf.AutoModelForCausalLM.from_pretrained(case.work / "moved").eval()
        ours = token_log_probabilities(lm.hidden(IDS, Segments.of(LENGTHS)), lm.head, IDS, LENGTHS)
        _close(ours, logps_alone(again, IDS, LENGTHS), 1e-4)
    assert _on_disk(case.work / "moved") == _on_disk(case.folder)
    tokenizer = hf.AutoTokenizer.from_pretrained(case.work / "moved")
    assert tokenizer.chat_template == case.lm.tokenizer.chat_template


def chat_template(case: Case) -> str:
    """The family's own, where `tests/templates` has one: what is trained is the answer."""
    rows = training_rows(case.lm.tokenizer, conversation("2+3?", "It is 5."))
    trained = [token for row in rows for token, bears in zip(row.ids, row.trained, strict=True) if bears]
    text = case.lm.tokenizer.decode(trained)
    assert isinstance(text, str)
    assert text.startswith("It is 5.") or "It is 5." in text
    assert len(trained) < sum(len(row.ids) for row in rows)
    return case.family.template


def sft(case: Case) -> None:
    _expect_trained(case, _sft(case, lora=None))


def lora(case: Case) -> None:
    made = _sft(case, lora=Lora(rank=2, alpha=4))
    _expect_trained(case, made)
    assert (made.payload / "adapter" / "adapter_model.safetensors").is_file()


def dpo(case: Case) -> None:
    config = Dpo(epochs=1, pairs_per_step=4, held_out=0.25, optimisation=FAST_RATE, device="cpu")
    reference = make_reference_logps(case.store, case.model, case.pairs, others=False, device="cpu")
    made = train_dpo(case.store, "DPO", case.model, case.pairs, reference, config, seed=0)
    assert abs(made.metrics()[0]["loss"] - 0.6931) < 1e-3, "at first the policy is its reference"
    _expect_trained(case, made)


def reward_model(case: Case) -> str:
    """Trained, and read as `AutoModelForSequenceClassification` where transformers has that of the family."""
    config = RewardModelTraining(epochs=2, pairs_per_step=4, held_out=0.25, optimisation=FAST_RATE, device="cpu")
    made = train_reward_model(case.store, "reward model", case.model, case.pairs, config, seed=0)
    messages = conversation("3?", "3 please, and thank you for the long question")
    rm = load_reward_model(made.payload)
    [score] = rm.score([messages])
    assert score != 0.0
    if not is_sequence_classifier(made.payload):
        return "head beside"
    theirs = hf.AutoModelForSequenceClassification.from_pretrained(made.payload).eval()
    ids = [row.ids for row in training_rows(rm.lm.tokenizer, messages)][-1]
    with torch.no_grad():
        [[expected]] = theirs(input_ids=torch.tensor([ids])).logits.tolist()
    assert abs(expected - score) <= 1e-4 * max(1.0, abs(score)), (expected, score)
    return "classifier"


def grpo(case: Case) -> None:
    """Against a reward model of no merit, with a KL to a reference; longer than the window with its answers."""
    rm = new_reward_model(load(case.folder))
    torch.nn.init.normal_(rm.head.weight, generator=torch.Generator().manual_seed(0))
    judge = case.input("reward model", lambda folder: save_reward_model(rm, folder))
    problems = [Problem(domain="chat", prompt=f"How is {n}?", gold=None, verifier="rubric", spec={}) for n in range(3)]
    rows = case.input("problems", lambda folder: write_problems(folder / "train.parquet", problems))
    config = Grpo(
        steps=2, prompts=2, samples=3, max_new_tokens=12, probe_groups=0, objective=Objective(beta=0.05),
        optimisation=FAST_RATE, device="cpu",
    )  # fmt: skip
    made = train_grpo(case.store, "GRPO", case.model, [rows], config, seed=0, reward_model=judge)
    assert all(row["mismatch"] < 1e-4 for row in made.metrics())
    _expect_trained(case, made)


CHECKS: dict[str, Callable[[Case], str | None]] = {
    "load": loads,
    "packed = unpacked": packed_logps,
    "gradients": packed_gradients,
    "decode = generate": greedy_decoding,
    "sampled = forward": sampled_logps,
    "save and reload": saves,
    "chat template": chat_template,
    "SFT": sft,
    "LoRA": lora,
    "DPO": dpo,
    "reward model": reward_model,
    "GRPO": grpo,
}


def refusal(kind: str | Callable[[], Any], folder: Path) -> str:
    """The rule and what was got, of a model folder of this kind; empty where it loads."""
    tokenizer = template_toys.tokenizer(template_toys.source("chatml"))
    config = smallest(kind, len(tokenizer) + 3) if isinstance(kind, str) else kind()
    try:
        if isinstance(kind, str) and type(config) in hf.MODEL_FOR_CAUSAL_LM_MAPPING:
            write(folder, config, tokenizer, scale=3.0)
        else:
            config.save_pretrained(folder)
        load(folder)
    except UserError as error:
        return f"{error.rule}: {error.got}".replace(str(folder), "the folder")
    return ""


def _close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    difference = float((ours - theirs).abs().max())
    assert difference <= tolerance, f"differs by {difference:.2g}"


def _on_disk(folder: Path) -> dict[str, list[int]]:
    """Names and shapes of all tensors."""
    with safe_open(folder / "model.safetensors", "pt") as tensors:
        return {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118


def _sft(case: Case, lora: Lora | None) -> Artifact:
    data = case.input("samples", lambda folder: write_samples(folder / "samples.parquet", toy_samples(12)))
    config = Sft(epochs=1, row_tokens=128, lora=lora, optimisation=FAST_RATE, device="cpu")
    return train_sft(case.store, "SFT", case.model, data, config, seed=0)


def _expect_trained(case: Case, made: Artifact) -> None:
    """The weights are others, and the folder is a model that loads."""
    with torch.no_grad():
        lm = load(made.payload)
        before = token_log_probabilities(case.lm.hidden(IDS, Segments.of(LENGTHS)), case.lm.head, IDS, LENGTHS)
        after = token_log_probabilities(lm.hidden(IDS, Segments.of(LENGTHS)), lm.head, IDS, LENGTHS)
    assert after.isfinite().all()
    assert float((after - before).abs().max()) > 1e-3
    assert made.metrics()


@contextmanager
def quiet() -> Iterator[None]:
    """Without what transformers says of tiny configs."""
    verbosity = hf.utils.logging.get_verbosity()
    hf.utils.logging.set_verbosity_error()
    hf.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        hf.utils.logging.set_verbosity(verbosity)
        hf.utils.logging.enable_progress_bar()
