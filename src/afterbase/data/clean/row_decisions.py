"""What was decided about every row of a set, by number: small, for it is what grows with the rows."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from afterbase.data.clean.buckets import Column, text_hash
from afterbase.data.clean.check_rows import sketches_of
from afterbase.data.clean.dedup import Deduplicator
from afterbase.data.mixture import Drawn, Shares, draw, uses

_STAYS = 0  # the code of rows that stay


class Decisions:
    """Rule, score, domain and id of each row, and which row it repeats: 28 bytes a row."""

    def __init__(self) -> None:
        self.codes, self.scores = Column(np.uint16), Column(np.float64)
        self.of = Column(np.int64)
        self.domains, self.ids = Column(np.uint16), Column(np.uint64)
        self.rules: dict[tuple[str, str], int] = {("", ""): _STAYS}
        self.names: dict[str, int] = {}

    def add(self, table: pa.Table, checked: pa.Table, deduplicator: Deduplicator | None) -> None:
        """The next rows: `table` has their id, domain and earlier drops."""
        out = table["dropped"].is_valid().to_numpy(zero_copy_only=False)
        rules = zip(checked["stage"].to_pylist(), checked["rule"].to_pylist(), strict=True)
        codes = np.array([self._code(stage, rule) for stage, rule in rules], np.uint16)
        scores = checked["score"].to_numpy(zero_copy_only=False).astype(np.float64)  # null: nan
        of = np.full(len(codes), -1)
        if deduplicator is not None:
            found = deduplicator.decide(sketches_of(checked), (codes == _STAYS) & ~out)
            again, of = found.of >= 0, found.of
            codes[again & found.exact] = self._code("dedup", "exact duplicate")
            codes[again & ~found.exact] = self._code("dedup", "near duplicate")
            scores[again] = found.similarity[again]
        codes[out] = self._code("", "out before")
        self.codes.append(codes)
        self.scores.append(scores)
        self.of.append(of)
        domains = [self.names.setdefault(name, len(self.names)) for name in table["domain"].to_pylist()]
        self.domains.append(np.array(domains, np.uint16))
        self.ids.append(np.array([text_hash(i) for i in table["id"].to_pylist()], np.uint64))

    def _code(self, stage: str | None, rule: str | None) -> int:
        return self.rules.setdefault((stage or "", rule or ""), len(self.rules))

    def staying(self) -> np.ndarray:
        """Whether each row stays."""
        return self.codes.values == _STAYS

    def repeat(self, rows: Sequence[int], of: Sequence[int], scores: Sequence[float], rule: str) -> None:
        """Rows that repeat others in a way that was found afterwards."""
        self.codes.values[list(rows)] = self._code("dedup", rule)
        self.of.values[list(rows)] = of
        self.scores.values[list(rows)] = scores

    def mixed(self, shares: Shares, seed: int) -> tuple[list[Drawn], np.ndarray]:
        """What each domain gives, and how often each row is used; rows that are not are dropped from here on."""
        stays = np.flatnonzero(self.staying())
        names = list(self.names)
        domains = self.domains.values[stays]
        drawn = draw({names[d]: n for d, n in Counter(domains.tolist()).items()}, shares)
        place = {d.domain: i for i, d in enumerate(drawn)}
        numbers = np.array([place.get(name, -1) for name in names], np.int64)[domains]
        times = np.zeros(len(self.codes), np.int64)
        times[stays] = uses(self.ids.values[stays], numbers, drawn, seed=seed)
        unused = stays[times[stays] == 0]
        self.codes.values[unused] = self._code("mixture", "domain is full")
        self.scores.values[unused] = np.array([d.used for d in drawn] or [0])[numbers[times[stays] == 0]]
        return drawn, times
