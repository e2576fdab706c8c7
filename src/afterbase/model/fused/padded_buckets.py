"""The tokens of a packed row in padded buckets of samples of similar length, and back, head by head.

Both ways are gathers, forward and backward: a token has one place of its own. Beside it, a prompt that the samples of a
bucket begin with adds up what comes from each of them.

Notation: T tokens of a row, P places in all buckets, H heads, D the width of a head.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class PaddedBuckets:
    """Where each token lies in the buckets, which follow one another, sample by sample.

    `token_P`: the token at each place, some token where there is padding. `place_T`: the place of each token.
    `padding`: the places that hold none. `shapes`: samples and length of each bucket. `prefixes`: spans of the row with
    which the samples of a bucket begin, and which bucket that is.
    """

    token_P: Tensor
    place_T: Tensor
    padding: Tensor
    shapes: tuple[tuple[int, int], ...]
    prefixes: tuple[tuple[slice, int], ...]
    _by_heads: dict[int, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(
        cls, buckets: Sequence[tuple[slice | None, Tensor]], tokens: int, device: torch.device | None
    ) -> "PaddedBuckets":
        """Of each bucket the span of the row that its samples begin with, if they do, and their own tokens
        (samples, length), which are -1 where there is padding."""
        parts, prefixes, place_T, offset = [], [], torch.empty(tokens, dtype=torch.long), 0
        for index, (prefix, own) in enumerate(buckets):
            part = own
            if prefix is not None:
                prefixes.append((prefix, index))
                part = torch.cat((torch.arange(prefix.start, prefix.stop).expand(len(own), -1), own), 1)
            place = (offset + torch.arange(part.numel())).view_as(part)[:, part.shape[1] - own.shape[1] :]
            place_T[own[own >= 0]] = place[own >= 0]
            parts.append(part)
            offset += part.numel()
        token_P = torch.cat([part.flatten() for part in parts])
        return cls(
            token_P=token_P.clamp(min=0).to(device),
            place_T=place_T.to(device),
            padding=(token_P < 0).nonzero()[:, 0].to(device),
            shapes=tuple((part.shape[0], part.shape[1]) for part in parts),
            prefixes=tuple(prefixes),
        )

    def split(self, x_THD: Tensor) -> tuple[Tensor, ...]:
        """A row's tensor in each bucket, (samples, heads, length, D); padding holds some token's numbers."""
        return _Split.apply(x_THD, self)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The inverse of `split`, (T, H, D); padding is dropped, and no gradient flows into it."""
        return _Join.apply(self, *parts)

    def gathered(self, x_THD: Tensor, *, padding: float | None = None) -> tuple[Tensor, ...]:
        """As `split`, without a gradient; `padding` in its place, if given."""
        heads = x_THD.shape[1]
        row, _, empty = self._rows(heads)
        flat = x_THD.reshape(-1, x_THD.shape[2]).index_select(0, row)
        if padding is not None:
            flat.index_fill_(0, empty, padding)
        parts = flat.split([samples * heads * length for samples, length in self.shapes])
        return tuple(part.view(n, heads, length, -1) for part, (n, length) in zip(parts, self.shapes, strict=True))

    def scattered(self, parts: Sequence[Tensor]) -> Tensor:
        """As `join`, without a gradient."""
        heads, width = parts[0].shape[1], parts[0].shape[3]
        flat = torch.cat([part.reshape(-1, width) for part in parts])
        return flat.index_select(0, self._rows(heads)[1]).view(-1, heads, width)

    def _rows(self, heads: int) -> tuple[Tensor, Tensor, Tensor]:
        """`token_P`, `place_T` and `padding` of rows of one head each: in buckets heads come before tokens."""
        if heads not in self._by_heads:
            device = self.token_P.device
            samples, lengths = torch.tensor(self.shapes, device=device).unbind(1)
            length_P = lengths.repeat_interleave(samples * lengths)
            at_P = torch.cat([torch.arange(n, device=device).repeat(samples) for samples, n in self.shapes])
            start_P, head_H = torch.arange(len(at_P), device=device) - at_P, torch.arange(heads, device=device)
            place_PH = (start_P * heads + at_P)[:, None] + head_H * length_P[:, None]
            row = torch.empty(place_PH.numel(), dtype=torch.long, device=device)
            row[place_PH] = self.token_P[:, None] * heads + head_H
            self._by_heads[heads] = row, place_PH[self.place_T].flatten(), place_PH[self.padding].flatten()
        return self._by_heads[heads]


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_THD: Tensor, buckets: PaddedBuckets) -> tuple[Tensor, ...]:
        ctx.buckets = buckets
        return buckets.gathered(x_THD)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        of_x = ctx.buckets.scattered(grads)
        for span, bucket in ctx.buckets.prefixes:
            of_x[span] += grads[bucket][:, :, : span.stop - span.start].sum(0).transpose(0, 1)
        return of_x, None


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, buckets: PaddedBuckets, *parts: Tensor) -> Tensor:
        ctx.buckets = buckets
        return buckets.scattered(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, *ctx.buckets.gathered(grads[0], padding=0.0)
