"""Whether somebody looks at single messages, so that no fused op may stand in for them."""

from __future__ import annotations

from torch_geometric.nn import MessagePassing

__all__ = ["is_watched"]

_HOOKS = ("propagate_forward", "message_forward", "aggregate_forward")


def is_watched(conv: MessagePassing, own: type[MessagePassing]) -> bool:
    """Whether a layer must go through PyG's ``propagate``.

    Args:
        conv: The layer.
        own: The class whose ``message`` the fused op computes.

    Returns:
        True with a hook on messages, under an explainer, with an aggregation that is no sum, and
        where a subclass has a method of its own for messages.
    """
    overridden = (
        type(conv).message is not own.message
        or type(conv).aggregate is not MessagePassing.aggregate
        or type(conv).update is not MessagePassing.update
    )
    hooked = any(
        len(getattr(conv, f"_{name}{kind}")) > 0
        for name in _HOOKS
        for kind in ("_pre_hooks", "_hooks")
    )
    return overridden or hooked or conv.explain is True or conv.aggr not in ("add", "sum")
