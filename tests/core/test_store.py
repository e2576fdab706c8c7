"""The store: content-addressed, and each artifact made once."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from afterbase.core.store import Artifact, Store, Workspace, folder_digest, stage_key

Make = Callable[[Workspace], None]


def _write(text: str, runs: list[str] | None = None) -> Make:
    def make(work: Workspace) -> None:
        (work.payload / "text.txt").write_text(text)
        if runs is not None:
            runs.append(text)

    return make


def _produce(store: Store, make: Make, **changes: Any) -> Artifact:
    settings: dict[str, Any] = {"stage": "toy", "version": 1, "what": {"size": 3}, "inputs": {}, **changes}
    return store.produce("toy stage", **settings, make=make)


# --- keys and digests -------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CONFIGS = st.dictionaries(st.text(max_size=5), JSON, max_size=4)
DIGESTS = st.dictionaries(st.text(max_size=5), st.binary(min_size=4, max_size=4).map(bytes.hex), max_size=3)
IDENTITY = (st.text(max_size=9), st.integers(0, 99), CONFIGS, DIGESTS)


@given(st.tuples(*IDENTITY))
def test_key_does_not_depend_on_the_order_of_settings_and_inputs(identity):
    stage, version, what, inputs = identity
    turned = (dict(reversed(what.items())), dict(reversed(inputs.items())))
    assert stage_key(stage, version, what, inputs) == stage_key(stage, version, *turned)


@given(st.tuples(*IDENTITY), st.integers(0, 3), st.data())
def test_any_change_of_the_identity_is_another_key(identity, part, data):
    other = list(identity)
    other[part] = data.draw(IDENTITY[part])
    assume(json.dumps(other[part], sort_keys=True) != json.dumps(identity[part], sort_keys=True))
    assert stage_key(*identity) != stage_key(*other)


def test_digest_is_independent_of_metrics_times_and_the_store(tmp_path):
    def make(metrics: list[float]) -> Make:
        def inner(work: Workspace) -> None:
            _write("same")(work)
            for step, value in enumerate(metrics, start=1):
                work.log(step, len(metrics), value=value)
            os.utime(work.payload / "text.txt", (len(metrics), len(metrics)))

        return inner

    one = _produce(Store(tmp_path / "one"), make([1.0]))
    other = _produce(Store(tmp_path / "other"), make([2.0, 3.0]))
    assert (one.key, one.digest) == (other.key, other.digest)
    assert one.metrics() == [{"step": 1, "value": 1.0}]
    assert other.metrics() == [{"step": 1, "value": 2.0}, {"step": 2, "value": 3.0}]


# --- made once --------------------------------------------------------------------------------------------------


def test_finished_stage_is_never_run_again(tmp_path):
    runs: list[str] = []
    store = Store(tmp_path)
    first = _produce(store, _write("text", runs))
    again = _produce(Store(tmp_path), _write("text", runs))
    assert runs == ["text"]
    assert again == first
    assert [record.cached for record in store.stages] == [False]


def test_record_of_a_cached_stage_keeps_the_time_that_it_took(tmp_path):
    _produce(Store(tmp_path), _write("text"))
    store = Store(tmp_path)
    artifact = _produce(store, _write("text"))
    assert [(r.cached, r.seconds) for r in store.stages] == [(True, artifact.manifest["seconds"])]


@pytest.mark.parametrize(
    "change",
    [{"stage": "other"}, {"version": 2}, {"what": {"size": 4}}, {"what": {"size": 3, "more": None}}],
    ids=lambda change: next(iter(change)),
)
def test_changed_identity_is_made_anew(tmp_path, change):
    runs: list[str] = []
    store = Store(tmp_path)
    _produce(store, _write("old", runs))
    _produce(store, _write("new", runs), **change)
    assert runs == ["old", "new"]


def test_changed_input_digest_is_made_anew_and_an_equal_one_is_not(tmp_path):
    runs: list[str] = []
    store = Store(tmp_path)
    # Two versions of one stage that come to the same payload: what is made of it stays.
    inputs = [_produce(store, _write(text), version=v) for v, text in ((1, "same"), (2, "same"), (3, "other"))]
    for source in inputs:
        _produce(store, _write("made", runs), stage="next", inputs={"source": source})
    assert runs == ["made", "made"]


def test_manifest_says_what_was_made_from_what(tmp_path):
    store = Store(tmp_path, threads=3)
    source = _produce(store, _write("source"))
    made = _produce(store, _write("made"), stage="next", version=7, inputs={"source": source})
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert manifest["inputs"] == {"source": {"key": source.key, "digest": source.digest, "name": "toy stage"}}
    assert (manifest["stage"], manifest["version"], manifest["what"]) == ("next", 7, {"size": 3})
    assert manifest["environment"]["threads"] == 3
    assert manifest["digest"] == made.digest == folder_digest(made.payload)
    assert sorted(p.name for p in made.folder.iterdir()) == ["manifest.json", "payload"]


def test_labelled_store_shares_records_and_names_its_stages(tmp_path):
    store = Store(tmp_path)
    _produce(store.labelled(" [seed 1]"), _write("text"))
    assert [record.name for record in store.stages] == ["toy stage [seed 1]"]


def test_plan_records_stages_and_makes_nothing(tmp_path):
    made = _produce(Store(tmp_path / "store"), _write("text"))
    store = Store(tmp_path / "store", plan_only=True)
    found = _produce(store, _write("text"))
    planned = _produce(store, _write("never"), stage="next", inputs={"source": found})
    last = _produce(store, _write("never"), stage="last", inputs={"source": planned})
    assert found == made
    assert [(r.cached, r.artifact.planned) for r in store.stages] == [(True, False), (False, True), (False, True)]
    assert not planned.folder.exists()
    assert not last.folder.exists()
