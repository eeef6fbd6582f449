"""Whether somebody looks at single messages, so that no fused op may stand in for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch_geometric.nn import MessagePassing

__all__ = ["has_own_masks", "is_edge_update_watched", "is_watched"]

_MESSAGE_HOOKS = (
    "_propagate_forward_pre_hooks",
    "_propagate_forward_hooks",
    "_message_forward_pre_hooks",
    "_message_forward_hooks",
    "_aggregate_forward_pre_hooks",
    "_aggregate_forward_hooks",
)


def is_watched(conv: MessagePassing) -> bool:
    """Whether the messages of a layer must go through PyG's ``propagate``.

    Args:
        conv: The layer.

    Returns:
        True with a hook on messages, with an aggregation that is no sum, and where a subclass has a
        method of its own for messages.
    """
    kind, own = type(conv), conv.__dict__
    return (
        not _is_ours(kind.message)
        or kind.aggregate is not MessagePassing.aggregate
        or kind.update is not MessagePassing.update
        or "message" in own
        or "aggregate" in own
        or "update" in own
        or conv.aggr not in ("add", "sum")
        or any(map(own.get, _MESSAGE_HOOKS))
    )


def is_edge_update_watched(conv: MessagePassing) -> bool:
    """Whether the coefficients of a layer must come from its ``edge_update``.

    Args:
        conv: The layer.

    Returns:
        True with a hook on edge updates, and where a subclass has a method of its own.
    """
    own = conv.__dict__
    if own["_edge_update_forward_pre_hooks"] or own["_edge_update_forward_hooks"]:
        return True
    method = type(conv).edge_update
    unchanged = method is MessagePassing.edge_update or _is_ours(method)
    return not unchanged or "edge_update" in own


def has_own_masks(conv: MessagePassing) -> bool:
    """Whether an explainer replaced how a layer masks its messages."""
    return "explain_message" in conv.__dict__ or not _is_ours(type(conv).explain_message)


def _is_ours(method: Callable[..., Any]) -> bool:
    return (method.__module__ or "").startswith("graphattn.nn.")
