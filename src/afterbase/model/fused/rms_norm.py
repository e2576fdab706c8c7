"""RMS norm in few passes over memory, with its gradient written out.

    y = x w / r,  r^2 = mean(x^2) + epsilon
    dx = g w / r - x (g w . x) / (X r^3),  dw = sum over rows of g x / r

Notation: T rows, X their width. Both sums of the gradient are products of one table g x with a vector.
"""

from typing import Any

import torch
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Of the last dimension, (..., X), in the type of `x` and `weight`, which is one.

    >>> rms_norm(torch.tensor([[3.0, 4.0]]), torch.ones(2), 0.0).square().mean().item()
    1.0
    """
    return _RmsNorm.apply(x, weight, epsilon)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        inverse = length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight, inverse = ctx.saved_tensors
        table_TX = (grads[0] * x).reshape(-1, x.shape[-1])
        of_x = of_weight = None
        if ctx.needs_input_grad[1]:
            of_weight = torch.mv(table_TX.T, inverse.view(-1))
        if ctx.needs_input_grad[0]:
            shared = torch.mv(table_TX, weight).view_as(inverse) * inverse.pow(3).div_(-x.shape[-1])
            of_x = (grads[0] * weight).mul_(inverse).addcmul_(x, shared)
        return of_x, of_weight, None
