import json
import random

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.data.clean.decontaminate import Contamination, Hit, hash_benchmark, load_benchmark, save_benchmark

QUESTION = (
    "In a dance class of 20 students, 20% enrolled in contemporary dance, 25% of the remaining enrolled in jazz dance, "
    "and the rest enrolled in hip-hop dance. What percentage of the entire students enrolled in hip-hop dance?"
)
SHORT = "How many primes are there below 50?"
TINY = "What is 3 + 4?"
CHINESE = "唐末民变期间，王审知和他的两位兄弟加入了哪位农民起义领袖的队伍？"
BENCHMARK = hash_benchmark("toy", [QUESTION, SHORT, TINY, CHINESE])
FILLER = [f"filler{i}" for i in range(12)]


def hit(*turns: str, overlap: float = 0.5) -> Hit | None:
    [found] = Contamination([BENCHMARK], overlap).find([turns])
    return found


@pytest.mark.parametrize("item", range(4))
def test_an_item_is_found_in_any_turn_and_spelling(item):
    text = [QUESTION, SHORT, TINY, CHINESE][item]
    wanted = Hit("toy", item, 1.0)
    assert hit(text, "an answer") == hit("a question", text) == hit(f"  {text.upper()}\n") == wanted


@pytest.mark.parametrize(("item", "text"), [(0, QUESTION), (1, "number of primes: " + SHORT), (3, CHINESE)])
def test_an_item_of_n_words_or_more_is_found_inside_other_text(item, text):
    found = hit(f"Please help me with this one. {text} Put the answer into a box.")
    if item == 1:
        assert found is None, "it has seven words: only a turn that is exactly it counts"
    else:
        assert found == Hit("toy", item, 1.0)


def test_half_of_a_long_item_is_enough():
    words = QUESTION.split()
    found = hit(" ".join(words[: len(words) * 3 // 4]))
    assert found is not None
    assert 0.5 <= found.share < 1
    assert hit(" ".join(words[: len(words) // 3])) is None
    assert hit(" ".join(words[: len(words) * 3 // 4]), overlap=0.9) is None


def test_an_item_below_twice_n_words_has_to_be_whole():
    text = "Of how many positive integers below 100 is {} a divisor?"
    finder = Contamination([hash_benchmark("toy", [text.format(5)])], 0.5)
    near, same = finder.find([[text.format(7)], [f"So: {text.format(5)}"]])
    assert near is None
    assert same == Hit("toy", 0, 1.0)


def test_operators_tell_short_items_apart():
    assert hit("What is 3 + 4") == Hit("toy", 2, 1.0)
    assert hit("What is 3 - 4?") is None
    assert hit("What is 3 + 4? And 5?") is None


def test_an_item_that_is_spread_over_two_turns_is_none():
    words = QUESTION.split()
    assert hit(" ".join(words[:18]), " ".join(words[18:36])) is None


def test_the_benchmark_that_is_held_most_of_is_named():
    beginning = " ".join(QUESTION.split()[:20])
    other = hash_benchmark("other", [f"{beginning} and then something else entirely happens to all of them"])
    finder = Contamination([other, BENCHMARK, hash_benchmark("thirteen", [QUESTION], n=13)], 0.5)
    assert finder.find([[QUESTION], []]) == [Hit("toy", 0, 1.0), None]


def test_a_benchmark_without_words_is_refused():
    with pytest.raises(UserError, match=r"none in item 1 of `toy`"):
        hash_benchmark("toy", ["words", "?!"])
    with pytest.raises(UserError, match=r"no item of `toy`"):
        hash_benchmark("toy", [])


def test_a_benchmark_twice_is_refused():
    with pytest.raises(UserError, match="named once"):
        Contamination([BENCHMARK, BENCHMARK], 0.5)


def test_no_benchmark_finds_nothing():
    assert Contamination([], 0.5).find([[QUESTION]]) == [None]


def test_the_file_holds_hashes_and_finds_the_same(tmp_path):
    path = tmp_path / "toy.hashes"
    save_benchmark(path, BENCHMARK)
    rows = [[QUESTION], [SHORT], [TINY, CHINESE], ["nothing"]]
    assert Contamination([load_benchmark(path)], 0.5).find(rows) == Contamination([BENCHMARK], 0.5).find(rows)
    content = path.read_bytes()
    assert b"dance" not in content
    assert "审".encode() not in content
    assert [p.name for p in tmp_path.iterdir()] == ["toy.hashes"]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no file"):
        load_benchmark(tmp_path / "missing.hashes")
    (tmp_path / "text.hashes").write_text("no hashes")
    with pytest.raises(UserError, match="can be read"):
        load_benchmark(tmp_path / "text.hashes")
    save_benchmark(tmp_path / "old.hashes", BENCHMARK)
    table = pq.read_table(tmp_path / "old.hashes")
    pq.write_table(table.replace_schema_metadata(None), tmp_path / "other.hashes")
    with pytest.raises(UserError, match="is another"):
        load_benchmark(tmp_path / "other.hashes")
    about = json.loads(table.schema.metadata[b"afterbase"])
    older = {"afterbase": json.dumps({**about, "hashes": 0})}
    pq.write_table(table.replace_schema_metadata(older), tmp_path / "old.hashes")
    with pytest.raises(UserError, match="version 0"):
        load_benchmark(tmp_path / "old.hashes")


@given(st.lists(st.sampled_from(FILLER), max_size=60), st.lists(st.sampled_from(FILLER), max_size=60))
def test_shares_are_those_of_the_sets_of_grams(item, row):
    """By the definition, word by word."""
    n = 3
    if not item:
        return
    found = Contamination([hash_benchmark("toy", [" ".join(item)], n=n)], 0.5).find([[" ".join(row)]])[0]
    mine, theirs = ({tuple(words[i : i + n]) for i in range(len(words) - n + 1)} for words in (item, row))
    whole = 1.0 if item == row else 0.0
    expected = whole if len(item) < n else len(mine & theirs) / len(mine)
    needed = 0.5 if len(item) >= 2 * n else 1.0
    assert found == (Hit("toy", 0, expected) if expected >= needed else None)


def test_planted_items_of_real_benchmarks_are_found_and_nothing_else(afterbase_data):
    fields = {"gsm8k": "question", "math500": "problem", "aime2024": "problem", "humaneval": "prompt"}
    texts = {
        name: [
            json.loads(line)[field] for line in (afterbase_data / f"capability/{name}.jsonl").read_text().splitlines()
        ]
        for name, field in fields.items()
    }
    chinese = (afterbase_data / "capability/chinese_simpleqa.jsonl").read_text().splitlines()
    texts["chinese_simpleqa"] = [json.loads(line)["question"] for line in chinese]
    for name, items in texts.items():
        mine = Contamination([hash_benchmark(name, items)], 0.5)
        rng = random.Random(0)
        planted = [f"{' '.join(rng.choices(FILLER, k=30))}\n{item}\nGive reasons." for item in items]
        found = mine.find([[p, "An answer."] for p in planted])
        long = [i for i, item in enumerate(items) if len(item.split()) >= 16 or name == "chinese_simpleqa"]
        assert all((h := found[i]) is not None and (h.benchmark, h.item) == (name, i) for i in long)
        others = [[text] for other, items in texts.items() if other != name for text in items]
        assert mine.find(others) == [None] * len(others)
