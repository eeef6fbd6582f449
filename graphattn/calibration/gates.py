"""Noisy gates that choose a few of several experts for every node."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.special import ndtr

__all__ = ["Gates"]

_LEAST_NOISE = 1e-2
_LEAST_SQUARE = 1e-10


class Gates(nn.Module):
    """Weights of experts, all but the largest few of them zero.

    From `"Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer"
    <https://arxiv.org/abs/1701.06538>`_ (section 4 and appendix A). In training, normal noise of a
    learned size decides among experts that are nearly equal.

    Args:
        in_channels: Number of input features.
        num_experts: Number of experts :math:`M`.
        top_k: Experts that get a weight.
    """

    def __init__(self, in_channels: int, num_experts: int, top_k: int) -> None:
        super().__init__()
        self.top_k = top_k
        self.weight = nn.Parameter(torch.zeros(in_channels, num_experts))
        self.noise_weight = nn.Parameter(torch.zeros(in_channels, num_experts))

    def reset_parameters(self) -> None:
        """Set all weights to zero, where all experts are equal."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.noise_weight)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Choose experts.

        Args:
            x: Shape ``[N, F]``.

        Returns:
            Weights of experts, which sum to one, shape ``[N, M]``; and how unevenly experts are
            used, a number that is 0 if all are used the same: the squared coefficients of variation
            of their sums of weights and of their loads. A load is the expected number of nodes that
            choose an expert, over the noise of that expert; without noise it is that number.
        """
        clean = x @ self.weight.to(x.dtype)
        noise = softplus(x @ self.noise_weight.to(x.dtype)) + _LEAST_NOISE
        score = clean + torch.randn_like(clean) * noise if self.training else clean
        top = score.topk(min(self.top_k + 1, score.size(1)), dim=1)
        chosen = top.indices[:, : self.top_k]
        weight = top.values[:, : self.top_k].softmax(dim=1)
        gates = torch.zeros_like(score).scatter(1, chosen, weight)
        if self.training and self.top_k < score.size(1):
            # What an expert has to beat: the best of those left out, or the last of those chosen.
            is_in = score > top.values[:, self.top_k :]
            bar = torch.where(
                is_in, top.values[:, self.top_k :], top.values[:, self.top_k - 1, None]
            )
            load = ndtr((clean - bar) / noise).sum(dim=0)
        else:
            load = (gates > 0).to(gates.dtype).sum(dim=0)
        return gates, _variation(gates.sum(dim=0)) + _variation(load)


def _variation(values: Tensor) -> Tensor:
    return values.var() / (values.mean().square() + _LEAST_SQUARE)
