"""What decoding attends to, latents or keys and values, and the attention over it; which parts of it rows share.

Rows that answer the same prompt read one copy of its tokens, as one GEMM, and each row its own tokens beside them.

Shape suffixes as in decode.py; T tokens a row in one step, M = N x T.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# attend(layer, queries_MHD, cached_MD) -> attended values_MHC
Attend = Callable[[int, Tensor, Tensor], Tensor]

# A step's attention is cut, at multiples of SPAN_ROWS rows, where the rows that follow are shorter than this share.
SPAN_ROWS = 32
SHORTER = 0.75


class LatentCache:
    """What live rows attend to: each prompt's tokens once, and each row's own tokens in a strip of its own.

    Rows are 0 .. rows-1 without holes, and so are prompts. What a step reads follows the live rows, the longest live
    prompt, and the strips' lengths, the better the more they are in descending order.
    """

    def __init__(
        self,
        *,
        layers: int,
        heads: int,
        rows: int,
        prompt_width: int,
        own_width: int,
        parts: Sequence[tuple[slice, slice]],
        cached_dim: int,
    ) -> None:
        """`parts`: where in a cached token the key and the value lie that an equal share of the heads has in common."""
        # Zeros, because padding is read with weight 0. NumPy's are resident only once written, so that the widest case
        # costs nothing until it happens.
        self._prompts_LPWD = torch.from_numpy(
            np.zeros((layers, rows, max(prompt_width, 1), cached_dim), dtype=np.float32)
        )
        self._own_LNWD = torch.from_numpy(np.zeros((layers, rows, own_width, cached_dim), dtype=np.float32))
        self._heads = heads // len(parts)
        self._parts = parts
        self._keys: list[int] = []
        self._prompt_length = np.zeros(rows, dtype=np.int64)
        self._row_prompt = np.zeros(rows, dtype=np.int64)
        self._row_length = np.zeros(rows, dtype=np.int64)
        self.rows = 0
        self._groups: _Groups | None = None

    def add_rows(self, count: int, *, key: int, cached_LWD: Tensor) -> None:
        """Append rows that continue the prompt named by `key`, whose tokens are stored if no live row has them."""
        if key not in self._keys:
            self._prompts_LPWD[:, len(self._keys), : cached_LWD.shape[1]] = cached_LWD
            self._prompt_length[len(self._keys)] = cached_LWD.shape[1]
            self._keys.append(key)
        new = slice(self.rows, self.rows + count)
        self._row_prompt[new] = self._keys.index(key)
        self._row_length[new] = 0
        self.rows += count
        self._groups = None

    def keep_rows(self, order: np.ndarray) -> None:
        """Row i becomes what row order[i] was; rows not named go, and with the last row of a prompt its tokens."""
        width = self._row_length[: self.rows].max()
        moved = np.flatnonzero(order != np.arange(len(order)))
        for state in (self._row_prompt, self._row_length):
            state[moved] = state[order[moved]]
        self._own_LNWD[:, moved, :width] = self._own_LNWD[:, order[moved], :width]
        self.rows = len(order)
        self._groups = None
        for prompt in np.setdiff1d(np.arange(len(self._keys)), self._row_prompt[: self.rows])[::-1]:
            last = len(self._keys) - 1
            width = self._prompt_length[last]
            self._prompts_LPWD[:, prompt, :width] = self._prompts_LPWD[:, last, :width].clone()
            self._prompt_length[prompt] = width
            self._row_prompt[: self.rows][self._row_prompt[: self.rows] == last] = prompt
            self._keys[prompt] = self._keys[last]
            self._keys.pop()

    @property
    def lengths(self) -> np.ndarray:
        """Own tokens of every row, (rows,): a view that moves with the next step."""
        return self._row_length[: self.rows]

    def forget(self, count_N: np.ndarray) -> None:
        """Take back each row's last `count_N` tokens; the next step writes over them."""
        self._row_length[: self.rows] -= count_N

    def begin_step(self, count: int = 1, asked_N: np.ndarray | None = None) -> tuple[Tensor, Attend]:
        """Make room for `count` tokens a row: the positions_M of these, row by row, and the attention of each to what
        is cached up to itself. With `asked_N`, an index below `count` a row, only that token's query is to come."""
        if self._groups is None:
            self._groups = _Groups.of(self._row_prompt[: self.rows], self._prompt_length[: len(self._keys)])
        groups, own_LNWD = self._groups, self._own_LNWD
        row_N1 = np.arange(self.rows)[:, None]
        slot_NT = self.lengths[:, None] + np.arange(count)
        asked_NT = slot_NT if asked_N is None else slot_NT[row_N1, asked_N[:, None]]
        heads = asked_NT.shape[1] * self._heads
        self._row_length[: self.rows] += count
        write_M = torch.from_numpy((row_N1 * own_LNWD.shape[2] + slot_NT).reshape(-1))
        spans = [
            (slice(start, end), width, self._causal_bias(asked_NT[start:end] + 1, width))
            for start, end, width in _spans(self.lengths)
        ]

        def attend(layer: int, query_MHD: Tensor, cached_MD: Tensor) -> Tensor:
            own_LNWD[layer].flatten(0, 1).index_copy_(0, write_M, cached_MD)
            prompts_PWD = self._prompts_LPWD[layer, : groups.count, : groups.width]
            shares = query_MHD.split(self._heads, dim=1)
            return torch.cat(
                [
                    part(query, prompts_PWD, own_LNWD[layer], key, value).view(len(query), -1, value.stop - value.start)
                    for query, (key, value) in zip(shares, self._parts, strict=True)
                ],
                dim=1,
            )

        def part(query_MHD: Tensor, prompts_PWD: Tensor, own_NWD: Tensor, key: slice, value: slice) -> Tensor:
            # The tokens of a row are so many more heads: nothing but the bias tells them apart.
            query_NHD = query_MHD.reshape(-1, heads, query_MHD.shape[-1])
            scores = torch.baddbmm(groups.bias_P1W, groups.gather(query_NHD), prompts_PWD[..., key].mT)
            scores_NHW = groups.scatter(scores, heads)
            own_NHC = query_NHD.new_empty(len(query_NHD), heads, value.stop - value.start)
            prompt_weights = []
            for rows, width, bias in spans:
                own = own_NWD[rows, :width]
                own_scores = torch.baddbmm(bias, query_NHD[rows], own[..., key].mT)
                weights = torch.cat((scores_NHW[rows], own_scores), -1).softmax(-1)
                torch.bmm(weights[..., groups.width :], own[..., value], out=own_NHC[rows])
                prompt_weights.append(weights[..., : groups.width])
            weights = torch.cat(prompt_weights) if len(spans) > 1 else prompt_weights[0]
            attended = torch.bmm(groups.gather(weights), prompts_PWD[..., value])
            return own_NHC.add_(groups.scatter(attended, heads))

        return torch.from_numpy((groups.start_N[:, None] + slot_NT).reshape(-1)), attend

    def _causal_bias(self, length_NT: np.ndarray, width: int) -> Tensor:
        """The padding's bias for every token, and with more than one token a row for every head of it."""
        bias_NTW = _padding_bias(length_NT, width)
        return bias_NTW if length_NT.shape[1] == 1 else bias_NTW.repeat_interleave(self._heads, dim=1)


def _spans(lengths: np.ndarray) -> list[tuple[int, int, int]]:
    """Cut rows into (start, end, longest) where what follows is much shorter, so that little padding is read."""
    spans: list[tuple[int, int, int]] = []
    for start in range(0, len(lengths), SPAN_ROWS):
        end = min(start + SPAN_ROWS, len(lengths))
        longest = int(lengths[start:end].max())
        if spans and SHORTER * spans[-1][2] <= longest <= spans[-1][2]:
            start, _, longest = spans.pop()
        spans.append((start, end, longest))
    return spans


def _padding_bias(length_NT: np.ndarray, width: int) -> Tensor:
    """0 within each length and -inf beyond, (N, T, width)."""
    bias_NTW = np.zeros((*length_NT.shape, width), dtype=np.float32)
    bias_NTW[np.arange(width) >= length_NT[..., None]] = -np.inf
    return torch.from_numpy(bias_NTW)


@dataclass(frozen=True, kw_only=True)
class _Groups:
    """Rows by prompt, as a padded rectangle of `count` prompts by the largest number of rows of one prompt."""

    count: int
    width: int
    bias_P1W: Tensor
    start_N: np.ndarray
    rows_of_rectangle: Tensor | None
    rectangle_of_rows: Tensor | None

    @classmethod
    def of(cls, row_prompt: np.ndarray, prompt_length: np.ndarray) -> "_Groups":
        """The rectangle, and the way there and back; both None where rows fill it in order."""
        count, rows = len(prompt_length), len(row_prompt)
        order = np.argsort(row_prompt, kind="stable")
        sizes = np.bincount(row_prompt, minlength=count)
        first = np.cumsum(sizes) - sizes
        there = np.empty(rows, dtype=np.int64)
        there[order] = row_prompt[order] * sizes.max() + np.arange(rows) - first[row_prompt[order]]
        back = np.zeros(count * sizes.max(), dtype=np.int64)
        back[there] = np.arange(rows)
        in_order = len(back) == rows and bool((there == np.arange(rows)).all())
        width = max(int(prompt_length.max()), 1)
        return cls(
            count=count,
            width=width,
            bias_P1W=_padding_bias(prompt_length[:, None], width),
            start_N=prompt_length[row_prompt],
            rows_of_rectangle=None if in_order else torch.from_numpy(back),
            rectangle_of_rows=None if in_order else torch.from_numpy(there),
        )

    def gather(self, x_NHx: Tensor) -> Tensor:
        """Rows into the rectangle, heads and rows of a prompt as one axis."""
        if self.rows_of_rectangle is not None:
            x_NHx = x_NHx.index_select(0, self.rows_of_rectangle)
        return x_NHx.reshape(self.count, -1, x_NHx.shape[-1])

    def scatter(self, x_Pgx: Tensor, heads: int) -> Tensor:
        """The inverse of `gather`; padding is dropped."""
        x = x_Pgx.view(-1, heads, x_Pgx.shape[-1])
        return x if self.rectangle_of_rows is None else x.index_select(0, self.rectangle_of_rows)
