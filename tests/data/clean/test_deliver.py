import errno
import json

import pyarrow.parquet as pq
import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import read_samples, write_samples
from afterbase.core.store import Store
from afterbase.data.clean.clean import Cleaning
from afterbase.data.clean.decontaminate import hash_benchmark, save_benchmark
from afterbase.data.clean.deliver import RecipeCleaning, clean_files, clean_sets, look
from afterbase.data.mixture import Domain, Shares
from cleaning_toys import RULES, SAMPLES, rules


def ignore(*_: object) -> None:
    pass


@pytest.fixture
def source(tmp_path):
    write_samples(tmp_path / "in.parquet", SAMPLES)
    return tmp_path / "in.parquet"


def cleaned(source, out, cleaning=Cleaning(), against=()):  # noqa: B008  (frozen)
    return clean_files([source], out, cleaning, against, domain="unnamed", show=ignore)


def test_the_folder_holds_both_kinds_of_rows_and_the_card(tmp_path, source):
    card = cleaned(source, tmp_path / "out")
    kept, dropped = (read_samples(tmp_path / f"out/{name}.parquet") for name in ("samples", "dropped"))
    assert [s.response for s in kept] == [SAMPLES[i].response for i in (0, 5, 8, 9)]
    assert [s.dropped is None for s in [*kept, *dropped]] == [True] * 4 + [False] * 7
    assert card["rows"] == {"kept": 4, "dropped": 7}
    assert json.loads((tmp_path / "out/card.json").read_text())["rows"] == card["rows"]
    assert "4 rows kept, 7 dropped" in (tmp_path / "out/card.md").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.parquet", "out"]


def test_the_same_again_is_done_already_and_anything_else_refused(tmp_path, source):
    card = cleaned(source, tmp_path / "out")
    before = (tmp_path / "out/samples.parquet").stat().st_mtime_ns
    assert cleaned(source, tmp_path / "out")["rows"] == card["rows"]
    assert (tmp_path / "out/samples.parquet").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="does not overwrite"):
        cleaned(source, tmp_path / "out", Cleaning(dedup=None))
    with pytest.raises(UserError, match="does not overwrite"):
        cleaned(source, tmp_path / "out", Cleaning(seed=1))
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="does not overwrite"):
        cleaned(source, tmp_path / "other")


def test_a_full_disk_leaves_no_folder_and_the_next_call_goes_on(tmp_path, source, monkeypatch):
    real = pq.ParquetWriter.write_table

    def full(self, table, *rest):
        if "out.part" in str(self.where):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, table, *rest)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OSError, match="No space"):
        cleaned(source, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".out.work", "in.parquet"]
    monkeypatch.setattr(pq.ParquetWriter, "write_table", real)
    assert cleaned(source, tmp_path / "out")["rows"] == {"kept": 4, "dropped": 7}


def test_a_look_shows_the_mixture_and_makes_no_folder(tmp_path, source):
    shares = Cleaning(mixture=Shares(domains={"chat": Domain(most=1), "maths": Domain()}))
    table = look([source], tmp_path / "out", shares, [], domain="unnamed", show=ignore)
    assert "| chat | 3 | 1 | 0.33 | 50.0% |  |" in table
    assert not (tmp_path / "out").exists()
    assert cleaned(source, tmp_path / "out", shares)["rows"]["kept"] == 2


def test_the_stage_keeps_all_rows_in_one_file(tmp_path, source):
    store = Store(tmp_path / "store")
    save_benchmark(tmp_path / "t.hashes", hash_benchmark("trains", [SAMPLES[5].messages[0]["content"]]))
    halves = [
        store.produce(
            f"set {i}", "toy", 1, what={"i": i}, inputs={},
            make=lambda work, part=part: write_samples(work.payload / "samples.parquet", part),
        )
        for i, part in enumerate((SAMPLES[:6], SAMPLES[6:]))
    ]  # fmt: skip
    config = RecipeCleaning(against=(str(tmp_path / "t.hashes"),))
    made = clean_sets(store, "cleaned", halves, config)
    assert rules(read_samples(made.payload / "samples.parquet")) == RULES
    assert sorted(p.name for p in made.payload.iterdir()) == ["card.json", "card.md", "samples.parquet"]
    assert made.metrics()[0]["kept"] == 3
    assert clean_sets(store, "cleaned", halves, config).key == made.key
    assert clean_sets(store, "cleaned", halves, RecipeCleaning()).key != made.key


def test_the_stage_tells_how_far_reviewers_agreed(tmp_path):
    def reviewed(work):
        write_samples(work.payload / "samples.parquet", SAMPLES)
        (work.payload / "agreement.json").write_text(json.dumps({"alpha": {"value": 0.75, "units": 8}}))

    def never_twice(work):
        write_samples(work.payload / "samples.parquet", [])
        (work.payload / "agreement.json").write_text(json.dumps({"alpha": {"value": None, "units": 0}}))

    store = Store(tmp_path / "store")
    sets = [
        store.produce(name, "toy", 1, what={"name": name}, inputs={}, make=make)
        for name, make in (("chat review", reviewed), ("letters review", never_twice))
    ]
    made = clean_sets(store, "cleaned", sets, RecipeCleaning())
    card = json.loads((made.payload / "card.json").read_text())
    assert card["agreement"] == {"chat review, Krippendorff's alpha": 0.75}
    assert "alpha: 0.750" in (made.payload / "card.md").read_text()


def test_a_recipe_repeats_no_rows():
    with pytest.raises(Exception, match="each row is used once a pass"):
        RecipeCleaning(mixture=Shares(domains={"chat": Domain(epochs=2.0)}))
