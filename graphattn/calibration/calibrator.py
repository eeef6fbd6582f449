"""What all calibrators share: checks, the interface, and the fit by gradients."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch_geometric.typing import Adj
from typing_extensions import override

from graphattn._core.checks import check_count, check_number

__all__ = ["Calibrator", "GradientCalibrator", "check_logits"]

_SUMS_TO_ONE = 1e-4


class Calibrator(nn.Module, ABC):
    """Maps the logits of a trained classifier to logits whose softmax can be trusted.

    ``calibrator.fit(logits, y, edge_index, train_mask=..., val_mask=...)`` learns the map, and
    ``calibrator(logits, edge_index, train_mask)`` applies it; methods that do not look at the graph
    need no ``edge_index``. The classifier is not asked again, so that its logits may be of any
    model. As usual for these methods, validation nodes are learned from, and training nodes, which
    the classifier knows, only say when to stop.
    """

    preserves_accuracy: bool = True
    """Whether the most probable class of a node stays the same."""
    needs_graph: ClassVar[bool] = False
    """Whether ``edge_index`` must be given."""
    needs_train_mask: ClassVar[bool] = False
    """Whether ``train_mask`` must be given, also when the calibrator is called."""

    def fit(
        self,
        logits: Tensor,
        y: Tensor,
        edge_index: Adj | None = None,
        *,
        val_mask: Tensor,
        train_mask: Tensor | None = None,
    ) -> Self:
        """Learn the map, anew if it was learned before.

        Args:
            logits: Logits of the classifier in evaluation mode, ``float16`` to ``float64``; half
                precision is computed in ``float32``. Shape ``[N, C]``.
            y: Classes; only those of nodes in the masks are looked at. Shape ``[N]``.
            edge_index: The graph, for methods that look at it. Shape ``[2, E]``.
            val_mask: Nodes to learn from. Shape ``[N]``, ``bool``.
            train_mask: Nodes that the classifier was trained on, from which methods that are
                learned step by step see when to stop. Shape ``[N]``, ``bool``.

        Returns:
            The calibrator itself.

        Raises:
            TypeError: If an input has another type.
            ValueError: If an input has another shape, logits are not finite or look like
                probabilities, there is one class only, a mask is empty, masks overlap, or a label
                is out of range.
        """
        # Steps of the fit shall not go back into the classifier.
        logits = check_logits(logits).detach()
        _check_labels(logits, y, val_mask, train_mask)
        prepared = self._prepared(logits, edge_index, train_mask)
        self.to(device=logits.device, dtype=logits.dtype)
        self.reset_parameters()
        training = self.training
        try:
            self._fit(prepared, y.long(), val_mask, train_mask)
        finally:
            self.train(training)
        return self

    def forward(
        self,
        logits: Tensor,
        edge_index: Adj | None = None,
        train_mask: Tensor | None = None,
    ) -> Tensor:
        """Calibrate logits.

        Args:
            logits: Logits of the classifier. Shape ``[N, C]``.
            edge_index: See :meth:`fit`; may be another graph.
            train_mask: Nodes that the classifier was trained on. Shape ``[N]``, ``bool``.

        Returns:
            Logits whose softmax are the calibrated probabilities, ``float32`` at least. Shape
            ``[N, C]``.

        Raises:
            TypeError: See :meth:`fit`.
            ValueError: See :meth:`fit`.
        """
        prepared = self._prepared(check_logits(logits), edge_index, train_mask)
        training = self.training
        # Dropout and other noise are for the fit alone.
        self.eval()
        try:
            return self.calibrate(prepared)
        finally:
            self.train(training)

    def reset_parameters(self) -> None:
        """Start anew."""

    def prepare(self, logits: Tensor, edge_index: Adj | None, train_mask: Tensor | None) -> Any:
        """Compute what does not depend on parameters, once for a fit.

        Args:
            logits: Checked logits. Shape ``[N, C]``.
            edge_index: The graph.
            train_mask: Nodes that the classifier was trained on. Shape ``[N]``.

        Returns:
            What :meth:`calibrate` takes; the logits, unless a subclass says otherwise.
        """
        return logits

    @abstractmethod
    def calibrate(self, prepared: Any) -> Tensor:
        """Apply the map to what :meth:`prepare` returned. Shape ``[N, C]``."""

    @abstractmethod
    def _fit(self, prepared: Any, y: Tensor, val_mask: Tensor, train_mask: Tensor | None) -> None:
        """Set the parameters."""

    def _prepared(self, logits: Tensor, edge_index: Adj | None, train_mask: Tensor | None) -> Any:
        for name, value, needed in (
            ("edge_index", edge_index, self.needs_graph),
            ("train_mask", train_mask, self.needs_train_mask),
        ):
            if needed and value is None:
                raise ValueError(f"'{name}' must be given to a {type(self).__name__}, got None")
        return self.prepare(logits, edge_index, train_mask)


class GradientCalibrator(Calibrator):
    """A calibrator that is learned by Adam on the whole graph.

    After every step the loss on the training nodes is computed; the state with the least one is
    kept, the last of equal ones. Without training nodes all epochs are run and the last state
    counts.

    Args:
        lr: Learning rate.
        weight_decay: Factor of the parameters added to their gradients.
        max_epochs: Number of steps at most.
        patience: Steps without a better loss after which the fit ends.

    Raises:
        ValueError: If a setting is out of its range; names it and its value.
    """

    def __init__(
        self,
        *,
        lr: float = 0.01,
        weight_decay: float = 0.0,
        max_epochs: int = 2000,
        patience: int = 100,
    ) -> None:
        super().__init__()
        check_number("lr", lr, positive=True)
        check_number("weight_decay", weight_decay)
        check_count("max_epochs", max_epochs)
        check_count("patience", patience)
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.patience = patience

    def loss(self, calibrated: Tensor, y: Tensor) -> Tensor:
        """Loss of the fit on calibrated logits ``[M, C]`` and classes ``[M]``."""
        return cross_entropy(calibrated, y)

    def penalty(self) -> Tensor | float:
        """Added to the loss of the fit, not to the one that decides when to stop."""
        return 0.0

    @override
    def _fit(self, prepared: Any, y: Tensor, val_mask: Tensor, train_mask: Tensor | None) -> None:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        best, waited = float("inf"), 0
        state = copy.deepcopy(self.state_dict())
        for _ in range(self.max_epochs):
            self.train()
            optimizer.zero_grad()
            with torch.enable_grad():
                calibrated = self.calibrate(prepared)
                loss = self.loss(calibrated[val_mask], y[val_mask]) + self.penalty()
                torch.autograd.backward(loss)
            optimizer.step()
            if train_mask is None:
                continue
            self.eval()
            with torch.no_grad():
                found = float(self.loss(self.calibrate(prepared)[train_mask], y[train_mask]))
            if found <= best:
                best, waited = found, 0
                state = copy.deepcopy(self.state_dict())
            else:
                waited += 1
                if waited >= self.patience:
                    break
        if train_mask is not None:
            self.load_state_dict(state)


def check_logits(logits: Tensor) -> Tensor:
    """Check logits of a classifier.

    Args:
        logits: Shape ``[N, C]``.

    Returns:
        The logits, in ``float32`` at least.

    Raises:
        TypeError: If they are no tensor of a floating-point type.
        ValueError: If they have another shape, one class only, are not finite, or look like
            probabilities.
    """
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        kind = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise TypeError(f"'logits' must be a floating-point tensor, got {kind}")
    if logits.dim() != 2 or logits.size(1) < 2:
        raise ValueError(
            f"'logits' must have shape [N, C] with at least two classes, got {list(logits.shape)}"
        )
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if not bool(torch.isfinite(logits).all()):
        row = int((~torch.isfinite(logits)).any(dim=1).nonzero()[0])
        raise ValueError(f"'logits' must be finite, got {logits[row].tolist()} in row {row}")
    if logits.size(0) and bool((logits >= 0).all()):
        total = logits.sum(dim=1)
        if bool(((total - 1).abs() < _SUMS_TO_ONE).all()):
            raise ValueError(
                "'logits' look like probabilities (not negative, and every row sums to one); pass "
                "the model's logits, or the logarithm of its probabilities"
            )
    return logits


def _check_labels(logits: Tensor, y: Tensor, val_mask: Tensor, train_mask: Tensor | None) -> None:
    num_nodes, num_classes = logits.shape
    if not isinstance(y, Tensor) or y.is_floating_point() or list(y.shape) != [num_nodes]:
        found = f"{list(y.shape)} {y.dtype}" if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"'y' must hold classes, integers of shape [{num_nodes}], got {found}")
    masks = {"val_mask": val_mask}
    if train_mask is not None:
        masks["train_mask"] = train_mask
    for name, mask in masks.items():
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise TypeError(f"'{name}' must be a tensor of bool, got {kind}")
        if list(mask.shape) != [num_nodes]:
            raise ValueError(f"'{name}' must have shape [{num_nodes}], got {list(mask.shape)}")
        if not bool(mask.any()):
            raise ValueError(f"'{name}' must have at least one node, got none")
        known = y[mask]
        wrong = (known < 0) | (known >= num_classes)
        if bool(wrong.any()):
            raise ValueError(
                f"'y' must lie in [0, {num_classes}) on '{name}', got {int(known[wrong][0])}"
            )
    if train_mask is not None and bool((both := val_mask & train_mask).any()):
        raise ValueError(
            f"'val_mask' and 'train_mask' must not overlap, got {int(both.sum())} node(s) in both"
        )
