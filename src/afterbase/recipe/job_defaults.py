"""The settings of a job that the user did not give: by the size of its model and of its data."""

import math
from typing import Any, NamedTuple

from afterbase.core.config import config_of
from afterbase.data.own.row_lengths import RowLengths
from afterbase.recipe import defaults
from afterbase.recipe.job_table import Table, merged, table_of
from afterbase.train.config import Lora, Optimisation, Training
from afterbase.train.grpo.config import Grpo
from afterbase.train.preference.config import PairTraining

_ANSWER = 256  # tokens of an answer that is still to be written, at most
_CHECKPOINTS = 10  # of a training, unless its steps are so many that the stage's own default makes more
_MEASUREMENTS = 5  # of a training with held-out rows, unless told otherwise


class BaseFacts(NamedTuple):
    """What defaults go by: the model's name, its parameters, and the tokens of its context."""

    name: str
    parameters: int
    context: int


def job_defaults(stage: defaults.Stage, base: BaseFacts, said: Table, lengths: RowLengths | None) -> Table:
    """What a job's table has where the user says nothing; before the rows were read, anything that is valid.

    `said` is the user's own table, which the rest goes by: the warm-up by the epochs, the rate by an adapter. Of a
    constant rate warm-up and measurements go by the usual length, so that a longer run goes on from a shorter one.
    """
    own = table_of(said, stage)
    found = lengths or RowLengths(1, 1, 1)
    out: Table = {}
    if "teacher" in said:
        out["teacher"] = {"max_new_tokens": min(1024, base.context // 2), "most_failed": 0.2}
        found = _with_answers(found, merged(out["teacher"], table_of(said, "teacher")))
    by_stage = {"sft": _sft, "grpo": _grpo}.get(stage, _preferences)
    table = by_stage(stage, base, own, found)
    steps = table.pop("all_steps")
    if _is_constant(own.get("optimisation")):
        unsaid = {name: value for name, value in own.items() if name not in ("steps", "epochs")}
        steps = by_stage(stage, base, unsaid, found)["all_steps"]
    lora = own.get("lora") is not None
    table["optimisation"] = defaults.optimisation(stage, base.parameters, steps=steps, lora=lora)
    if stage != "grpo":  # whose steps are long, and which has a default of its own
        table["checkpoint_every"] = min(
            Training.model_fields["checkpoint_every"].default, max(1, steps // _CHECKPOINTS)
        )
    if said.get("eval") or table_of(said, "data").get("eval"):
        table["eval_every"] = max(1, steps // _MEASUREMENTS)
    return {stage: table, **defaults.threads(base.parameters), **out}


def _with_answers(prompts: RowLengths, teacher: Table) -> RowLengths:
    """Prompts with answers that a teacher is still to give: the longest as long as it may be, the others half of that.

    A row that was made for the prompts alone would leave out the answers.
    """
    samples, most = (_number(teacher, name, 1) for name in ("samples", "max_new_tokens"))
    rows = prompts.rows * samples
    return RowLengths(rows, prompts.tokens * samples + rows * most // 2, prompts.longest + most)


def _is_constant(optimisation: object) -> bool:
    return isinstance(optimisation, dict) and optimisation.get("schedule") == "constant"


def _sft(stage: str, base: BaseFacts, own: Table, lengths: RowLengths) -> Table:
    size = _number(own, "row_tokens", defaults.row_tokens(lengths.tokens, lengths.longest, base.context))
    packed = max(1, math.ceil(lengths.tokens / size))
    rows = _number(own, "rows_per_step", defaults.rows_per_step(packed))
    epochs = _number(own, "epochs", defaults.epochs(lengths.rows))
    steps = epochs * math.ceil(packed / rows)
    return {"epochs": epochs, "row_tokens": size, "rows_per_step": rows, "all_steps": steps}


def _preferences(stage: str, base: BaseFacts, own: Table, lengths: RowLengths) -> Table:
    pairs = lengths.rows // 2 if stage == "kto" else lengths.rows
    size = _number(own, "pairs_per_step", defaults.rows_per_step(pairs))
    epochs = _number(own, "epochs", defaults.preference_epochs(lengths.rows))
    steps = epochs * max(1, math.ceil(pairs / size))
    return {"epochs": epochs, "pairs_per_step": size, "all_steps": steps}


def _grpo(stage: str, base: BaseFacts, own: Table, lengths: RowLengths) -> Table:
    steps = _number(own, "steps", Grpo.model_fields["steps"].default)
    prompts = min(Grpo.model_fields["prompts"].default, lengths.rows)
    tokens = min(_ANSWER, base.context // 2)
    return {"steps": steps, "prompts": prompts, "max_new_tokens": tokens, "all_steps": steps}


def _number(own: Table, key: str, otherwise: int) -> int:
    """The user's own number where it is one; what else it may be is refused when the table is checked."""
    value = own.get(key)
    return value if type(value) is int and value > 0 else otherwise


def chosen(stage: defaults.Stage, base: BaseFacts, table: Table, lengths: RowLengths) -> list[str]:
    """What is told before a job begins: who learns from what, and how."""
    own: dict[str, Any] = table[stage]
    rate, lora = own["optimisation"], own.get("lora")
    what = "all weights" if lora is None else f"a LoRA adapter of rank {lora.get('rank', Lora().rank)}"
    end = config_of(rate, Optimisation, "the settings of this training").last_rate
    floor = f", down to {end:g}" if end != rate["learning_rate"] else ""
    rows = "problems" if stage == "grpo" else "prompts" if "teacher" in table else "rows"
    if stage == "sft":
        step = f"{_counted(own['rows_per_step'], 'packed row')} of {own['row_tokens']} tokens; epochs: {own['epochs']}"
    elif stage == "grpo":
        samples = own.get("samples", Grpo.model_fields["samples"].default)
        prompts, most, steps = own["prompts"], own["max_new_tokens"], own["steps"]
        step = f"{_counted(prompts, 'prompt')} with {samples} answers of at most {most} tokens; steps: {steps}"
    else:
        pairs = own["pairs_per_step"]
        size = _counted(2 * pairs, "answer") if stage == "kto" else _counted(pairs, "pair")
        step = f"{size}; epochs: {own['epochs']}"
    lines = [
        f"base: {base.name}, {_short(base.parameters)} parameters, a context of {base.context} tokens",
        f"data: {lengths.rows} {rows}, about {lengths.tokens} tokens",
        f"learning rate: {rate['learning_rate']:g}{floor}, after {rate['warmup_steps']} steps of warm-up; of {what}",
        f"each step: {step}",
    ]
    if stage in ("dpo", "kto", "reward_model") and "eval" not in table.get("data", {}):
        share = own.get("held_out", PairTraining.model_fields["held_out"].default)
        lines.append(f"held out: {share:.0%} of the prompts, to measure on; --eval names other rows")
    return lines


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _short(count: int) -> str:
    for unit, size in (("billion", 1e9), ("million", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)
