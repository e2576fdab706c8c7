"""Cleaning and packing at scale, with duplicates and benchmark items planted, and duplicates beside datasketch.

    PYTHONPATH=src python benchmarks/data.py [--rows 1500000] [--processes 2] [--ray] [--json]

Rows of 300 to 3,000 characters, nine in ten of English words (drawn as often as words are, by Zipf's law), one in ten
of Chinese characters. Planted: 4 % exact copies (other white space), 4 % near copies (words changed, true Jaccard
similarity of 5-token shingles 0.8 or more), 1 % around an item of a benchmark of 2,000 (other case and punctuation,
some with a word changed), 0.5 % with an e-mail address. Cleaning is all of `afterbase data clean`: reading, filters,
decontamination, duplicates, mixture, writing. Memory is that of all processes together, shared pages counted in each.

The peer gets the first 3,000 rows: datasketch, the same shingles, the same 96 permutations in 16 bands, its fastest
calls, candidates not confirmed; ours on the same rows in one process, confirmed.
"""

import argparse
import json
import re
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measures import tell

from afterbase.core.sample import SAMPLE_SCHEMA
from afterbase.data.clean.check_rows import Piece
from afterbase.data.clean.clean import Cleaning
from afterbase.data.clean.decontaminate import hash_benchmark, save_benchmark
from afterbase.data.clean.dedup import Deduplicator, sketch
from afterbase.data.clean.deliver import clean_files
from afterbase.data.clean.parallel_map import Workers, spread
from afterbase.data.mixture import Domain, Shares
from afterbase.data.pack import best_fit_decreasing

GROUP, PEER_ROWS, CAPACITY = 4096, 3000, 4096
DOMAINS = ("maths", "code", "chat")


@dataclass
class Corpus:
    """Draws rows; remembers some plain ones to copy."""

    rng: np.random.Generator
    words: np.ndarray
    items: list[str]
    plain: list[tuple[str, str]]

    def text(self, chinese: float = 0.1) -> str:
        """300 to 3,000 characters; Chinese with that chance."""
        size = int(self.rng.integers(300, 2900))
        if self.rng.random() < chinese:
            return "".join(map(chr, self.rng.integers(0x4E00, 0x5800, size))) + "。"
        drawn = self.words[np.minimum(self.rng.zipf(1.15, size // 4), len(self.words)) - 1].tolist()
        for i in range(11, len(drawn), 12):
            drawn[i] += "."
        return " ".join(drawn)[:size].rsplit(" ", 1)[0]

    def row(self, number: int) -> tuple[str, str, str]:
        """(prompt, answer, what was planted)."""
        prompt = f"Task {number}"
        draw = self.rng.random()
        if draw < 0.04 and self.plain:
            prompt, answer = self._chosen()
            return prompt, answer.replace(" ", "  ", 3) + "\n", "exact"
        if draw < 0.08 and self.plain:
            prompt, original = self._chosen()
            near = self._near(original)
            alike = similarity(f"{prompt} {original}", f"{prompt} {near}")
            return prompt, near, "near" if alike >= 0.8 else "other"
        if draw < 0.09:
            item = self.items[int(self.rng.integers(len(self.items)))]
            return prompt, f"{self.text(0)[:300]}\n{self._respelt(item)}\n{self.text(0)[:800]}", "benchmark"
        if draw < 0.095:
            return prompt, f"{self.text(0)} Write to j{self.rng.integers(10**6)}.doe@gmail.com.", "personal"
        text = self.text()
        if len(self.plain) < 5000:
            self.plain.append((prompt, text))
        else:
            self.plain[int(self.rng.integers(5000))] = (prompt, text)
        return prompt, text, ""

    def _chosen(self) -> tuple[str, str]:
        return self.plain[int(self.rng.integers(len(self.plain)))]

    def _near(self, text: str) -> str:
        parts = text.split() if " " in text else list(text)
        for i in self.rng.integers(0, len(parts), max(1, len(parts) // 60)).tolist():
            parts[i] = "changed" if " " in text else "改"
        return (" " if " " in text else "").join(parts)

    def _respelt(self, item: str) -> str:
        words = item.upper().split() if self.rng.random() < 0.5 else item.replace(" ", ",  ", 4).split()
        if len(words) > 30 and self.rng.random() < 0.5:
            words[int(self.rng.integers(len(words)))] = "changed"
        return " ".join(words)


def similarity(a: str, b: str) -> float:
    """True Jaccard similarity of 5-token shingles, by plain sets."""
    one, two = (set(zip(*(t[i:] for i in range(5)), strict=False)) for t in map(spelt, (a, b)))
    return len(one & two) / max(1, len(one | two))


def spelt(text: str) -> list[str]:
    """Words, and Chinese characters one by one."""
    return re.findall(r"[a-z0-9]+|[\u4e00-\u9fff]", text.lower())


def corpus() -> Corpus:
    """A fresh corpus, always the same."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 11, 60_000)
    letters = rng.integers(97, 123, int(lengths.sum()), dtype=np.uint8).tobytes().decode()
    ends = np.cumsum(lengths)
    words = np.array([letters[e - n : e] for e, n in zip(ends.tolist(), lengths.tolist(), strict=True)], object)
    items = [" ".join(rng.choice(words, int(rng.integers(18, 60))).tolist()) for _ in range(2000)]
    return Corpus(rng, words, items, [])


def write_rows(path: Path, rows: int) -> int:
    """Rows as samples, `extra.planted` saying what each is; how many characters there are."""
    source, characters = corpus(), 0
    with pq.ParquetWriter(path, SAMPLE_SCHEMA) as writer:
        for start in range(0, rows, GROUP):
            batch = []
            for number in range(start, min(start + GROUP, rows)):
                prompt, text, planted = source.row(number)
                characters += len(text)
                turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]
                batch.append(
                    {
                        "id": f"{number:016x}", "messages": turns, "domain": DOMAINS[number % 3], "kind": "open",
                        "problem_id": None, "parents": [], "producer": '{"name": "benchmark"}', "verdicts": [],
                        "dropped": None, "extra": json.dumps({"planted": planted}),
                    }
                )  # fmt: skip
            writer.write_table(pa.Table.from_pylist(batch, SAMPLE_SCHEMA))
    return characters


class Memory:
    """The largest sum of resident memory of this process and those below it, in GiB."""

    def __enter__(self) -> "Memory":
        self.peak, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            self.peak = max(self.peak, sum(map(_resident, _family(threading.main_thread().native_id or 0))) / 2**30)


def _family(process: int) -> list[int]:
    found = [process]
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in task.read_text().split():
            found += _family(int(child))
    return found


def _resident(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


def outcome(folder: Path) -> Counter[tuple[str, str]]:
    """How many rows of each planted kind were dropped under each rule ("" for kept)."""
    counts: Counter[tuple[str, str]] = Counter()
    for name in ("samples", "dropped"):
        table = pq.read_table(folder / f"{name}.parquet", columns=["extra", "dropped"])
        for extra, drop in zip(table["extra"].to_pylist(), table["dropped"].to_pylist(), strict=True):
            counts[json.loads(extra)["planted"], drop["rule"] if drop else ""] += 1
    return counts


def tell_found(name: str, counts: Counter[tuple[str, str]], planted: set[str], rules: tuple[str, ...], as_json: bool):
    """Recall over planted rows, and precision over rows dropped under the rules."""
    there = sum(n for (kind, _), n in counts.items() if kind in planted)
    hit = sum(n for (kind, rule), n in counts.items() if kind in planted and rule.startswith(rules))
    # A near copy below the threshold ("other") may be one of another row: neither right nor wrong.
    wrong = sum(n for (kind, rule), n in counts.items() if kind not in {*planted, "other"} and rule.startswith(rules))
    tell(f"data_{name}_recall", hit / max(there, 1), "share of planted", as_json=as_json)
    tell(f"data_{name}_precision", hit / max(hit + wrong, 1), "share of found", as_json=as_json)


def tokenise(piece: Piece, folder: Path) -> pa.Table:
    """The lengths of a row group's samples; their ids go to a file."""
    from transformers import AutoTokenizer

    from afterbase.core.tokens import tokenize
    from afterbase.model.folders import find

    tokenizer = CACHE.setdefault("tokenizer", None) or AutoTokenizer.from_pretrained(find("tiny-v3"))
    CACHE["tokenizer"] = tokenizer
    with pq.ParquetFile(piece.path) as file:
        messages = file.read_row_group(piece.group, columns=["messages"])["messages"].to_pylist()
    made = [tokenize(tokenizer, row) for row in messages]
    ids = pa.array([np.array(m.ids, np.int32) for m in made], pa.list_(pa.int32()))
    pq.write_table(pa.table({"ids": ids, "trained": [m.trained for m in made]}), folder / f"{piece.group:06}.parquet")
    return pa.table({"length": [len(m.ids) for m in made]})


CACHE: dict = {}


def beside_datasketch(path: Path, as_json: bool) -> None:
    """Rows a second of both on the same rows, and what each finds of the planted duplicates."""
    from datasketch import MinHash, MinHashLSH

    table = pq.ParquetFile(path).read_row_group(0).slice(0, PEER_ROWS)
    texts = [" ".join(turn["content"] for turn in row) for row in table["messages"].to_pylist()]
    planted = np.array([json.loads(e)["planted"] in ("exact", "near") for e in table["extra"].to_pylist()])
    sketch(texts[:10], 5)
    started = time.perf_counter()
    ours = Deduplicator(0.8).decide(sketch(texts, 5)).of >= 0
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    index, theirs = MinHashLSH(num_perm=96, params=(16, 6)), np.zeros(len(texts), bool)
    for number, text in enumerate(texts):
        words = spelt(text)
        signature = MinHash(num_perm=96)
        signature.update_batch([" ".join(words[i : i + 5]).encode() for i in range(max(1, len(words) - 4))])
        theirs[number] = bool(index.query(signature))
        if not theirs[number]:
            index.insert(str(number), signature)
    peer = time.perf_counter() - started
    rate, peer_rate = len(texts) / seconds, len(texts) / peer
    tell("data_dedup_vs_datasketch", rate, "rows/s", peer=peer_rate, ratio=rate / peer_rate, as_json=as_json)
    a, b = (float((found & planted).sum() / planted.sum()) for found in (ours, theirs))
    tell("data_dedup_recall_vs_datasketch", a, "share of planted", peer=b, ratio=a / b, as_json=as_json)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_500_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--ray", action="store_true", help="also clean on a local Ray cluster, and compare the bytes")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    as_json = arguments.json
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        characters = write_rows(folder / "rows.parquet", arguments.rows)
        tell("data_rows", arguments.rows, "rows", as_json=as_json)
        tell("data_characters", characters / arguments.rows, "characters a row", as_json=as_json)
        save_benchmark(folder / "planted.hashes", hash_benchmark("planted", corpus().items))
        beside_datasketch(folder / "rows.parquet", as_json)
        seconds = cleaned(folder, "clean", Workers(processes=arguments.processes), as_json)
        counts = outcome(folder / "clean")
        tell_found("duplicates", counts, {"exact", "near"}, ("exact", "near"), as_json)
        tell_found("contamination", counts, {"benchmark"}, ("contaminated",), as_json)
        tell_found("personal", counts, {"personal"}, ("personal",), as_json)
        if arguments.ray:
            cleaned(folder, "on_ray", Workers(processes=arguments.processes, ray="local"), as_json)
            same = all(
                (folder / "clean" / file).read_bytes() == (folder / "on_ray" / file).read_bytes()
                for file in ("samples.parquet", "dropped.parquet")
            )
            tell("data_ray_gives_the_same_bytes", float(same), "1 if so", as_json=as_json)
        packed(folder, seconds, Workers(processes=arguments.processes), as_json)


def cleaned(folder: Path, out: str, workers: Workers, as_json: bool) -> float:
    """Clean the rows; the seconds that it took."""
    shares = Shares(domains={d: Domain(share=s) for d, s in zip(DOMAINS, (1.0, 1.0, 0.9), strict=True)})
    started = time.perf_counter()
    with Memory() as memory:
        clean_files(
            [folder / "rows.parquet"], folder / out, Cleaning(mixture=shares, workers=workers),
            [folder / "planted.hashes"], domain="none", show=lambda *_: None,
        )  # fmt: skip
    seconds = time.perf_counter() - started
    tell(f"data_{out}", seconds, "s", as_json=as_json)
    tell(f"data_{out}_memory", memory.peak, "GiB", as_json=as_json)
    return seconds


def packed(folder: Path, before: float, workers: Workers, as_json: bool) -> None:
    """Tokenise and pack what stayed."""
    (folder / "ids").mkdir()
    started = time.perf_counter()
    with Memory() as memory, pq.ParquetFile(folder / "clean/samples.parquet") as file:
        pieces = [Piece(folder / "clean/samples.parquet", group) for group in range(file.num_row_groups)]
        tables = spread(partial(tokenise, folder=folder / "ids"), pieces, workers)
        lengths = np.concatenate([t["length"].to_numpy() for t in tables])
        rows = best_fit_decreasing(lengths[lengths <= CAPACITY].tolist(), CAPACITY)
    seconds = time.perf_counter() - started
    tell("data_tokenise_and_pack", seconds, "s", as_json=as_json)
    tell("data_all", before + seconds, "s", as_json=as_json)
    tell("data_pack_memory", memory.peak, "GiB", as_json=as_json)
    tell("data_tokens", float(lengths.sum()), f"tokens in {len(rows):,} rows of {CAPACITY:,}", as_json=as_json)


if __name__ == "__main__":
    main()
