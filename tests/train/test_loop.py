"""The loop that stages share: precision, recomputation, what is logged and kept, and what stops it."""

import gc
import json
import math

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from afterbase.core.errors import UserError
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.core.tokens import Tokenized
from afterbase.data.pack import pack
from afterbase.model.attention import Segments
from afterbase.model.balance import LoadCounter
from afterbase.model.load import load
from afterbase.train.config import EvaluatedTraining
from afterbase.train.loop import Training, TrainingLoop, growth, prepare
from afterbase.train.optimizer import Optimisation, adamw, update
from afterbase.train.sft import accumulate
from zoo import smallest, write

CONFIG = Training(optimisation=Optimisation(learning_rate=5e-6, floor=1e-6), checkpoint_every=2)
ROWS = pack(
    [Tokenized(list(range(5, 45)), [False] + [True] * 39), Tokenized([7, 8, 9], [False, True, True])], 64, seed=0
)


def toy_stage(store: Store, gradient: list[float], config: Training = CONFIG, scores=(), **options) -> Artifact:
    """One weight whose gradient is what the test says, step by step."""

    def make(work: Workspace) -> None:
        trunk = torch.nn.Linear(1, 1, bias=False)
        modules, weight = torch.nn.ModuleDict({"trunk": trunk}), trunk.weight

        with TrainingLoop(work, config, modules, modules, len(gradient), **options) as loop:
            for step in loop:
                weight.grad = torch.full_like(weight, gradient[step])
                loop.update({"loss": 0.5, "tokens": 10, "share/a": 0.25}, batch={"row": step})
                if loop.evaluates:
                    score = next(scores)
                    loop.score(score, held_out_loss=score)
        (work.payload / "weight.json").write_text(json.dumps(weight.item()))

    return store.produce("toy", "toy", 1, what={}, inputs={}, make=make)


def test_bfloat16_computes_while_float32_weights_take_steps_that_bfloat16_cannot(toy_lm):
    """At V3's rate of 5e-6, a bfloat16 weight above 0.002 would not move at all."""
    loss, _ = accumulate(toy_lm, ROWS, 0.1)
    toy_lm.modules().zero_grad()
    modules = toy_lm.modules()
    optimizer = adamw(modules, CONFIG.optimisation)
    forward = prepare(toy_lm.model, modules, CONFIG.model_copy(update={"compute": "bfloat16"}))
    states = []
    toy_lm.model.model.layers[1].self_attn.o_proj.register_forward_hook(lambda _m, _i, out: states.append(out.dtype))
    rough, _ = accumulate(toy_lm, ROWS, 0.1, forward)
    assert states == [torch.bfloat16]
    assert rough == pytest.approx(loss, abs=0.05)
    before = {name: p.detach().clone() for name, p in modules.named_parameters() if p.grad is not None}
    assert all(p.grad.dtype == torch.float32 for p in modules.parameters() if p.grad is not None)
    update(optimizer, 5e-6, CONFIG.optimisation)
    weight = toy_lm.model.model.layers[1].self_attn.o_proj.weight
    old = before["trunk.model.layers.1.self_attn.o_proj.weight"]
    large = old.abs() > 0.002
    assert weight.dtype == torch.float32
    assert (weight != old)[large].float().mean() > 0.99
    in_bfloat16 = old.bfloat16() + (weight - old).bfloat16()
    assert torch.equal(in_bfloat16[large], old.bfloat16()[large]), "what pure bfloat16 would have done: nothing"


def test_recomputation_changes_no_gradient_and_no_count(toy_lm):
    modules = toy_lm.modules()

    def measured(config: Training) -> tuple[list[torch.Tensor], list[list[float]], int]:
        calls = []
        handle = toy_lm.model.model.layers[1].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
        counter = LoadCounter(modules)
        accumulate(toy_lm, ROWS, 0.1, prepare(toy_lm.model, modules, config), counter=counter)
        handle.remove()
        gradients = [p.grad.clone() for p in modules.parameters() if p.grad is not None]
        modules.zero_grad()
        return gradients, [load.tolist() for load in counter.loads], len(calls)

    kept, loads, once = measured(CONFIG)
    again, same_loads, twice = measured(CONFIG.model_copy(update={"recompute": True}))
    assert (once, twice) == (1, 2)
    assert loads == same_loads
    assert all(torch.equal(a, b) for a, b in zip(kept, again, strict=True))


@pytest.mark.parametrize("model_type", ["dbrx", "mixtral", "opt", "phi"])
def test_nothing_is_dropped_nor_jittered_in_layers_that_are_computed_again(toy_tokenizer, tmp_path, model_type):
    """transformers computes layers again in training mode alone, where DBRX drops by a name of its own."""
    config = smallest(model_type, len(toy_tokenizer))
    noise = [n for n, v in vars(config).items() if isinstance(v, float) and ("drop" in n or "jitter" in n)]
    for name in noise:
        setattr(config, name, 0.5)
    assert noise
    lm = load(write(tmp_path / "model", config, toy_tokenizer))
    ids, segments = torch.arange(5, 20), Segments.of([9, 6])
    with torch.no_grad():
        exact = lm.hidden(ids, segments)
    prepare(lm.model, lm.modules(), CONFIG.model_copy(update={"recompute": True}))
    torch.testing.assert_close(lm.hidden(ids, segments), exact, rtol=0, atol=1e-6)


def test_a_family_that_computes_no_layer_again_is_refused(toy_tokenizer, tmp_path):
    lm = load(write(tmp_path / "model", smallest("ctrl", len(toy_tokenizer)), toy_tokenizer))
    with pytest.raises(UserError, match="can compute again") as raised:
        prepare(lm.model, lm.modules(), CONFIG.model_copy(update={"recompute": True}))
    assert "`ctrl`" in raised.value.got


def test_every_number_is_in_the_metrics_and_on_the_board(toy_store, tmp_path):
    artifact = toy_stage(toy_store, [1.0, -1.0, 2.0])
    rows = artifact.metrics()
    assert [row["grad_norm"] for row in rows] == [1.0, 1.0, 2.0]
    assert (rows[0]["learning_rate"], rows[-1]["learning_rate"]) == (5e-6, 1e-6)
    assert all(row["memory_gib"] > 0 and row["tokens_per_second"] > 0 for row in rows)
    (board,) = (tmp_path / "tensorboard").iterdir()
    assert board.name.startswith("toy ")
    events = EventAccumulator(str(board)).Reload()
    assert set(rows[0]) - {"step"} == set(events.Tags()["scalars"])
    assert [(e.step, e.value) for e in events.Scalars("grad_norm")] == [(1, 1.0), (2, 1.0), (3, 2.0)]


def test_what_is_no_number_is_in_the_metrics_and_not_on_the_board_which_would_warn_of_it(toy_store, tmp_path, caplog):
    made = toy_stage(toy_store, [1.0, math.nan])
    assert "NaN" in (made.folder / "metrics.jsonl").read_text()
    (board,) = (tmp_path / "tensorboard").iterdir()
    assert [event.step for event in EventAccumulator(str(board)).Reload().Scalars("grad_norm")] == [1]
    assert not [record for record in caplog.records if "NaN" in record.message]


def test_a_step_without_finite_gradients_is_skipped_and_counted(toy_store):
    rows = toy_stage(toy_store, [1.0, math.nan, 1e6, 1.0]).metrics()
    assert [row.get("skipped", 0) for row in rows] == [0, 1, 2, 2]


def test_a_run_that_cannot_recover_stops_and_keeps_the_batch(toy_store, tmp_path):
    with pytest.raises(UserError, match="finite gradients") as raised:
        toy_stage(toy_store, [1.0, 1.0, *[math.inf] * 7])
    (kept,) = (tmp_path / "store").rglob("*-not-finite-*.json")
    assert str(kept) in raised.value.remedy
    assert json.loads(kept.read_text()) == {"row": 6}


def test_a_reason_to_stop_ends_the_run_and_a_resumed_one_as_well(toy_store):
    """Killed between the last step's checkpoint and the result, the stage must not go on where it had stopped."""

    def stage(fail: bool) -> Artifact:
        def make(work: Workspace) -> None:
            weight = torch.nn.Linear(1, 1, bias=False)
            with TrainingLoop(work, CONFIG, torch.nn.ModuleDict({"trunk": weight}), weight, 9) as loop:
                for step in loop:
                    weight.weight.grad = torch.ones_like(weight.weight)
                    loop.update({"tokens": 1}, batch=None)
                    loop.notes.append(step)
                    if len(loop.notes) >= 4:
                        loop.stop("enough")
            assert loop.notes == [0, 1, 2, 3]
            if fail:
                raise KeyboardInterrupt
            (work.payload / "done").write_text("")

        return toy_store.produce("stopped", "toy", 1, what={}, inputs={}, make=make)

    with pytest.raises(KeyboardInterrupt):
        stage(fail=True)
    rows = stage(fail=False).metrics()
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert [row.get("stopped") for row in rows] == [None, None, None, "enough"]


def test_nothing_holds_the_optimizer_once_the_loop_has_ended(toy_store):
    """Its states' memory goes back to the system with the end of the loop, not of the stage."""
    found = []

    def optimizers(weight: torch.Tensor) -> int:
        known = [o for o in gc.get_objects() if type(o) is torch.optim.AdamW]
        return sum(p is weight for o in known for group in o.param_groups for p in group["params"])

    def make(work: Workspace) -> None:
        module = torch.nn.Linear(1, 1, bias=False)
        with TrainingLoop(work, CONFIG, torch.nn.ModuleDict({"trunk": module}), module, 2) as loop:
            for _ in loop:
                module.weight.grad = torch.ones_like(module.weight)
                loop.update({"tokens": 1}, batch=None)
                found.append(optimizers(module.weight))
        found.append(optimizers(module.weight))

    toy_store.produce("freed", "toy", 1, what={}, inputs={}, make=make)
    assert found == [1, 1, 0]


def test_kept_checkpoints_stay_beside_the_result_with_the_best(toy_store):
    config = CONFIG.model_copy(update={"keep_checkpoints": 1})
    artifact = toy_stage(
        toy_store,
        [1.0] * 8,
        config,
        export=lambda folder, state: (folder / "w").write_text(str(state["trunk.weight"].item())),
        scores=iter([0.3, 0.1, 0.5, 0.4]),
    )
    assert [row.get("held_out_loss") for row in artifact.metrics()[1::2]] == [0.3, 0.1, 0.5, 0.4]
    scores = json.loads((artifact.folder / "checkpoints/scores.json").read_text())
    assert scores == {"step-00000004": 0.1, "step-00000008": 0.4}
    kept = sorted(path.name for path in (artifact.folder / "checkpoints").glob("step-*"))
    assert kept == ["step-00000004", "step-00000008"]
    final = json.loads((artifact.payload / "weight.json").read_text())
    assert float((artifact.folder / "checkpoints/step-00000008/w").read_text()) == pytest.approx(final)
    assert not (artifact.folder / "scratch").exists()


CONSTANT = Optimisation(learning_rate=1e-2, schedule="constant")
MEASURED = EvaluatedTraining(optimisation=CONSTANT, eval_every=2, checkpoint_every=3)


def growing_stage(store: Store, steps: int, config: EvaluatedTraining, scores: list[float], **how) -> Artifact:
    """One weight that each step moves by another gradient, and that a step's number scores."""

    def make(work: Workspace) -> None:
        trunk = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.ones_(trunk.weight)
        modules, weight = torch.nn.ModuleDict({"trunk": trunk}), trunk.weight
        with TrainingLoop(work, config.model_copy(update=how), modules, modules, steps) as loop:
            for step in loop:
                weight.grad = torch.full_like(weight, 1.0 + step)
                loop.update({"tokens": 1}, batch=None)
                loop.notes.append(step)
                if loop.evaluates:
                    loop.score(scores[step], held_out_loss=scores[step])
        (work.payload / "made.json").write_text(json.dumps([weight.item(), loop.notes]))

    what = {"steps": steps, "patience": config.patience, "best": config.keep_best, "every": config.eval_every}
    store = store.growing(growth("steps", config.model_copy(update=how)))
    return store.produce("toy", "toy", 1, what=what, inputs={}, make=make)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scores=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, math.inf]), min_size=9, max_size=9),
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=3, unique=True).map(sorted),
    every=st.integers(1, 4),
    patience=st.none() | st.integers(1, 3),
    keep_best=st.booleans(),
)
@example(scores=[0.1] * 9, sizes=[3, 9], every=2, patience=1, keep_best=True)  # stopped by what the longer skips
def test_a_longer_run_is_one_from_the_start_whatever_was_measured(
    tmp_path_factory, scores, sizes, every, patience, keep_best
):
    """The best step, and those without a gain, are counted as if the shorter runs had not ended with a measurement."""
    root = tmp_path_factory.mktemp("grown")
    config = MEASURED.model_copy(update={"eval_every": every, "patience": patience, "keep_best": keep_best})
    whole = growing_stage(Store(root / "whole"), sizes[-1], config, scores)
    *_, grown = [growing_stage(Store(root / "grown"), steps, config, scores) for steps in sizes]
    assert grown.digest == whole.digest
    measured = [row["step"] for row in whole.metrics() if "held_out_loss" in row]
    assert set(measured) <= {row["step"] for row in grown.metrics() if "held_out_loss" in row}
    assert [row["step"] for row in grown.metrics()] == [row["step"] for row in whole.metrics()]


def test_the_last_state_stays_and_beside_it_the_best(toy_store):
    """That is the last step's, although the result is the best one's."""
    first = growing_stage(toy_store, 5, MEASURED, [0.5, 0.1, 0.5, 0.2, 0.3])
    assert sorted(path.name for path in (first.folder / "resume").iterdir()) == ["step-00000002", "step-00000005"]
    longer = growing_stage(toy_store, 7, MEASURED, [0.5, 0.1, 0.5, 0.2, 0.3, 0.3, 0.3])
    assert longer.manifest["goes_on_from"] == {"key": first.key, "step": 5}
    weights = [json.loads((made.payload / "made.json").read_text())[0] for made in (first, longer)]
    assert weights[0] == weights[1], "of step 2, which is the best of both"


def test_a_cosine_keeps_no_state_and_neither_does_a_run_that_is_told_so(toy_store):
    cosine = MEASURED.model_copy(update={"optimisation": Optimisation(learning_rate=1e-2)})
    assert growth("steps", cosine) is None
    told = growing_stage(toy_store, 2, MEASURED, [0.1] * 2, keep_state=False)
    assert not (told.folder / "resume").exists()
    longer = growing_stage(toy_store, 3, MEASURED, [0.1] * 3)
    assert "goes_on_from" not in longer.manifest
    assert toy_store.stages[-1].shorter.why_not == "kept no state to go on from"
