"""A second graph network that corrects logits so that conformal sets get smaller."""

from __future__ import annotations

import copy
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout
from torch_geometric.typing import Adj

from graphattn._core.checks import (
    check_count,
    check_number,
    check_probability,
    check_seed,
)
from graphattn.calibration.calibrator import check_logits
from graphattn.calibration.conformal._checks import check_alpha, check_labels
from graphattn.calibration.conformal.divisions import measure_divisions
from graphattn.calibration.conformal.predictor import draw
from graphattn.calibration.conformal.quantile import conformal_rank
from graphattn.calibration.conformal.scores import APS, Score

__all__ = ["CFGNN", "set_size_loss"]


class CFGNN(nn.Module):
    r"""Corrected logits :math:`\tilde{\mathbf{z}} = g(\mathrm{softmax}(\mathbf{z}), \mathcal{E})`.

    From `"Uncertainty Quantification over Graph with Conformalized Graph Neural Networks"
    <https://arxiv.org/abs/2305.14535>`_. ``fit`` trains the network :math:`g` with cross-entropy on
    training nodes and, after a warm-up, :func:`set_size_loss` on nodes of its own; the state with
    the smallest sets on validation nodes is kept. Then fit a :class:`ConformalPredictor` on the
    corrected logits, with nodes that are in none of the masks: the correction has used up theirs.

    Note:
        The authors keep the frozen classifier in training mode, so that its dropout changes the
        input of every epoch; here its logits are computed before, without. They choose the state by
        the sizes of sets with non-random APS and a threshold one rank too high; here it is by the
        score and the exact threshold that sets are made with.

    Args:
        network: Any module that maps ``(x, edge_index)`` from ``[N, C]`` to ``[N, C]``, such as
            ``torch_geometric.nn.GCN(C, 64, 2, C, dropout=0.5)``.
        alpha: Share of sets that may miss their class, in ``(0, 1)``.
        tau: Width of the step that counts a class in.
        target_size: Sets of this size, 0 or 1, are small enough.
        size_weight: Factor of the size loss.
        dropout: Of the probabilities, the network's input.
        score: Score of single nodes whose sets shall be small; random APS if not given.
        lr: Learning rate of Adam.
        weight_decay: Factor of the parameters added to their gradients.
        max_epochs: Number of steps.
        warmup: Steps without the size loss.
        repeats: Random halvings of the validation nodes over which sizes are averaged.
        seed: Of the halvings and of the score's random numbers; start values and dropout follow
            torch's own generator.

    Raises:
        TypeError: If a setting has another type.
        ValueError: If a setting is out of its range.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        alpha: float = 0.1,
        tau: float = 0.1,
        target_size: int = 1,
        size_weight: float = 1.0,
        dropout: float = 0.5,
        score: Score | None = None,
        lr: float = 1e-3,
        weight_decay: float = 5e-4,
        max_epochs: int = 5000,
        warmup: int = 1000,
        repeats: int = 100,
        seed: int = 0,
    ) -> None:
        super().__init__()
        score = APS() if score is None else score
        if not isinstance(network, nn.Module):
            raise TypeError(f"'network' must be a module, got {type(network).__name__}")
        if not isinstance(score, Score) or score.needs_graph:
            raise TypeError(f"'score' must be a score of single nodes, got {score!r}")
        check_alpha(alpha)
        check_count("target_size", target_size, least=0, most=1)
        check_probability("dropout", dropout)
        check_number("tau", tau, positive=True)
        check_number("lr", lr, positive=True)
        check_number("size_weight", size_weight)
        check_number("weight_decay", weight_decay)
        check_count("max_epochs", max_epochs)
        check_count("warmup", warmup, least=0)
        check_count("repeats", repeats)
        check_seed("seed", seed)
        self.network = network
        self.alpha = alpha
        self.tau = tau
        self.target_size = target_size
        self.size_weight = size_weight
        self.dropout = dropout
        self.score = score
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.warmup = warmup
        self.repeats = repeats
        self.seed = seed

    def fit(
        self,
        logits: Tensor,
        y: Tensor,
        edge_index: Adj,
        *,
        train_mask: Tensor,
        correction_mask: Tensor,
        val_mask: Tensor,
    ) -> Self:
        """Train the network, anew if it has ``reset_parameters()``.

        Args:
            logits: Logits of the frozen classifier in evaluation mode. Shape ``[N, C]``.
            y: Classes; only those of nodes in the masks are looked at. Shape ``[N]``.
            edge_index: The graph. Shape ``[2, E]``.
            train_mask: Nodes for the cross-entropy. Shape ``[N]``, ``bool``.
            correction_mask: Nodes for the size loss. One random half gives the threshold, the other
                the sizes. Shape ``[N]``, ``bool``.
            val_mask: Nodes whose set sizes choose the state. Shape ``[N]``, ``bool``.

        Returns:
            The correction itself, in evaluation mode.

        Raises:
            TypeError: If an input has another type.
            ValueError: If an input is not fit for use, masks overlap, or half of the nodes of a
                mask are too few for ``alpha``.
        """
        logits = check_logits(logits)
        masks = {"train_mask": train_mask, "correction_mask": correction_mask, "val_mask": val_mask}
        check_labels(y, logits.size(0), logits.size(1), **masks)
        y = y.long()
        for name in ("correction_mask", "val_mask"):
            half = int(masks[name].sum()) // 2
            if conformal_rank(half, self.alpha) > half:
                raise ValueError(
                    f"half of '{name}' must have at least 1 / alpha - 1 nodes for alpha="
                    f"{self.alpha}, got {half}"
                )
        generator = torch.Generator().manual_seed(self.seed)
        nodes = correction_mask.nonzero().squeeze(1)
        halves = nodes[torch.randperm(len(nodes), generator=generator).to(nodes.device)]
        cal, test = halves[: len(nodes) // 2], halves[len(nodes) // 2 :]
        if callable(reset := getattr(self.network, "reset_parameters", None)):
            reset()
        self.to(device=logits.device, dtype=logits.dtype)
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        least, state = float("inf"), self.state_dict()
        for epoch in range(self.max_epochs):
            self.train()
            optimizer.zero_grad()
            with torch.enable_grad():
                corrected = self(logits, edge_index)
                loss = cross_entropy(corrected[train_mask], y[train_mask])
                if epoch >= self.warmup:
                    loss = loss + self.size_weight * self._size_loss(corrected, y, cal, test)
                torch.autograd.backward(loss)
            optimizer.step()
            self.eval()
            with torch.no_grad():
                size = self._mean_size(self(logits, edge_index)[val_mask], y[val_mask])
            if size < least:
                least, state = size, copy.deepcopy(self.state_dict())
        self.load_state_dict(state)
        return self

    def forward(self, logits: Tensor, edge_index: Adj) -> Tensor:
        """Correct logits.

        Args:
            logits: Logits of the frozen classifier. Shape ``[N, C]``.
            edge_index: The graph. Shape ``[2, E]``.

        Returns:
            Corrected logits. Shape ``[N, C]``.

        Raises:
            TypeError: If an input has another type.
            ValueError: If ``logits`` are not fit for use, or the network changes their shape.
        """
        probs = check_logits(logits).softmax(dim=1)
        corrected: Tensor = self.network(dropout(probs, self.dropout, self.training), edge_index)
        if corrected.shape != logits.shape:
            raise ValueError(
                f"the network must keep the shape {list(logits.shape)} of 'logits', got "
                f"{list(corrected.shape)}"
            )
        return corrected

    def _size_loss(self, corrected: Tensor, y: Tensor, cal: Tensor, test: Tensor) -> Tensor:
        probs = corrected.softmax(dim=1)
        return set_size_loss(
            probs[cal, y[cal]],
            probs[test],
            alpha=self.alpha,
            tau=self.tau,
            target_size=self.target_size,
        )

    def _mean_size(self, corrected: Tensor, y: Tensor) -> float:
        """Mean size of the sets over halvings of nodes."""
        u = draw(corrected, seed=self.seed) if self.score.draws else None
        found = measure_divisions(
            self.score(corrected, u),
            y,
            num_calibration=len(y) // 2,
            alpha=self.alpha,
            repeats=self.repeats,
            seed=self.seed,
        )
        return float(found["size"].mean())


def set_size_loss(
    true_probs: Tensor, probs: Tensor, *, alpha: float, tau: float, target_size: int
) -> Tensor:
    r"""How much larger than a target sets are, smoothly.

    .. math::
        \frac{1}{M} \sum_i \max \Big( 0, \sum_c \sigma \Big( \frac{p_i(c) - \eta}{\tau} \Big)
        - \kappa \Big)

    with :math:`\eta` the probability at the exact conformal rank, through which gradients flow.

    Args:
        true_probs: Probabilities of the true classes of calibration nodes. Shape ``[n]``.
        probs: Probabilities of nodes whose sets shall be small. Shape ``[M, C]``.
        alpha: Share of sets that may miss their class, in ``(0, 1)``.
        tau: Width of the step that counts a class in, positive.
        target_size: :math:`\kappa`.

    Returns:
        The loss. Shape ``[]``.

    Raises:
        TypeError: If ``alpha`` is no number.
        ValueError: If ``alpha`` is out of range, or there are too few calibration nodes for it.
    """
    rank = conformal_rank(len(true_probs), alpha)
    if rank > len(true_probs):
        raise ValueError(
            f"'true_probs' must have at least 1 / alpha - 1 entries for alpha={alpha}, got "
            f"{len(true_probs)}"
        )
    threshold = true_probs.sort().values[len(true_probs) - rank]
    size = ((probs - threshold) / tau).sigmoid().sum(dim=1)
    return (size - target_size).clamp(min=0).mean()
