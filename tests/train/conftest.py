"""What the tests of the training stages share: hand-made artifacts, a run that is cut short, exact arithmetic."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers.models.deepseek_v3 import modeling_deepseek_v3

from afterbase.core.progress import Silent, StageLine
from afterbase.core.store import Artifact, Store
from afterbase.model.load import save
from afterbase.train.preference.preference_pairs import make_reference_logps
from exact import Float64Torch

Stage = Callable[[Store], Artifact]


@pytest.fixture
def exact_lm(toy_lm, monkeypatch):
    """The toy model in float64 throughout; transformers does norms, routers and softmax in float32 in any model."""
    monkeypatch.setattr(modeling_deepseek_v3, "torch", Float64Torch())
    toy_lm.modules().double()
    return toy_lm


@pytest.fixture
def toy_store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def artifact(tmp_path) -> Callable[[str, Callable[[Path], Any]], Artifact]:
    """`artifact(name, write)`: an input of a stage, whose payload folder `write` fills."""
    store = Store(tmp_path / "inputs")

    def make(name: str, write: Callable[[Path], Any]) -> Artifact:
        return store.produce(name, name, 1, what={}, inputs={}, make=lambda work: write(work.payload))

    return make


@pytest.fixture
def preference_inputs(toy_lm, artifact) -> Callable[..., tuple[Artifact, Artifact]]:
    """`preference_inputs(prompts, per_prompt=1)`: the toy model, and pairs in which polite answers beat rude ones."""

    def make(prompts: int, per_prompt: int = 1) -> tuple[Artifact, Artifact]:
        rng = random.Random(0)
        rows = [
            {"prompt": f"{p}?", "chosen": f"{n} please", "rejected": f"{n} never, no", "source": "toy"}
            for p in range(prompts)
            for n in [rng.randrange(100)] * per_prompt
        ]
        schema = pa.schema([(name, pa.string()) for name in ("prompt", "chosen", "rejected", "source")])
        table = pa.Table.from_pylist(rows, schema=schema)
        return (
            artifact("sft", lambda folder: save(toy_lm, folder)),
            artifact(f"pairs {prompts}", lambda folder: pq.write_table(table, folder / "pairs.parquet")),
        )

    return make


@pytest.fixture
def with_reference(tmp_path) -> Callable[[tuple[Artifact, Artifact]], tuple[Artifact, Artifact, Artifact]]:
    """Model and pairs, and the model's own log-probabilities of them."""
    store = Store(tmp_path / "inputs")
    return lambda inputs: (*inputs, make_reference_logps(store, *inputs))


class _Line(StageLine):
    """Notes every step; at `cut` the user presses Ctrl-C."""

    seen: list[int]
    cut: int | None

    def update(self, step: int, total: int, **numbers: float | str) -> None:
        self.seen.append(step)
        if step == self.cut:
            raise KeyboardInterrupt
        super().update(step, total, **numbers)


class _Steps(Silent):
    def __init__(self, cut: int | None = None) -> None:
        super().__init__()
        self.seen: list[int] = []
        self.cut = cut

    def stage(self, name: str) -> StageLine:
        line = _Line(name, screen=self._screen, clock=self._clock)
        line.seen, line.cut = self.seen, self.cut
        return line


@pytest.fixture
def assert_resumes(tmp_path) -> Callable[..., Artifact]:
    """`assert_resumes(stage, cut=5, saved=4)`: interrupted at step `cut`, the stage goes on after step `saved`.

    The result equals that of an undisturbed run bit for bit, and so do all numbers but the times.
    """

    def check(stage: Stage, *, cut: int, saved: int) -> Artifact:
        whole = stage(Store(tmp_path / "whole"))
        with pytest.raises(KeyboardInterrupt):
            stage(Store(tmp_path / "cut", progress=_Steps(cut)))
        rest = _Steps()
        resumed = stage(Store(tmp_path / "cut", progress=rest))
        assert rest.seen[0] == saved + 1
        assert resumed.digest == whole.digest
        rows, undisturbed = resumed.metrics(), whole.metrics()
        assert [row["step"] for row in rows] == list(range(1, rows[-1]["step"] + 1))
        assert [_untimed(row) for row in rows] == [_untimed(row) for row in undisturbed]
        return whole

    return check


@pytest.fixture
def assert_lengthens(tmp_path) -> Callable[..., Artifact]:
    """`assert_lengthens(stage, short=1, long=3)`: a run of `long` goes on from the one of `short` in the same store.

    The result equals that of a run from the start bit for bit, and so do all numbers but the times.
    """

    def check(stage: Callable[[Store, int], Artifact], *, short: int, long: int) -> Artifact:
        whole = stage(Store(tmp_path / "whole"), long)
        shorter = stage(Store(tmp_path / "grown"), short)
        done = len(shorter.metrics())
        assert 0 < done < len(whole.metrics())
        rest = _Steps()
        longer = stage(Store(tmp_path / "grown", progress=rest), long)
        assert longer.manifest["goes_on_from"] == {"key": shorter.key, "step": done}
        assert rest.seen[0] == done + 1
        assert longer.digest == whole.digest
        assert [_untimed(row) for row in longer.metrics()] == [_untimed(row) for row in whole.metrics()]
        return longer

    return check


def _untimed(row: dict[str, Any]) -> dict[str, str]:
    """As text, because nan is not equal to itself."""
    return {k: str(v) for k, v in row.items() if not k.startswith(("seconds", "tokens_per_second", "memory"))}
