"""Attention coefficients of every layer of a model, without a word in the model's code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial, wraps
from types import MethodType
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Module, MultiheadAttention
from torch_geometric import nn as pyg
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.module_dict import ModuleDict
from torch_geometric.typing import Adj, SparseTensor
from torch_geometric.utils import is_sparse

from graphattn.nn.conv._edges import as_edge_list, with_weights
from graphattn.nn.conv.aero_conv import AEROConv
from graphattn.nn.conv.attention_conv import AttentionConv

__all__ = ["AttentionRecord", "record_attention"]

_ASK = "return_attention_weights"
_ASK_SEMANTIC = "return_semantic_attention_weights"
_KNOWN = (
    "graphattn's AttentionConv and AEROConv; torch_geometric's GATConv, GATv2Conv, "
    "TransformerConv, SuperGATConv, HANConv, HGTConv; any other MessagePassing whose forward "
    f"takes '{_ASK}'; torch.nn.MultiheadAttention"
)
# Take `False` for a wish, too.
_RETURN_PAIR_FOR_FALSE = (pyg.TransformerConv, pyg.FAConv, pyg.RGATConv)

Kind = Literal["edge", "hop", "semantic", "dense"]


@dataclass(frozen=True, eq=False)
class AttentionRecord:
    """Coefficients of one call of one layer; see :func:`record_attention`."""

    name: str
    """Name of the layer in ``model.named_modules()``; empty if the model is the layer."""
    edge_index: Adj | None
    """Edges in the order of ``alpha``, as the layer returns them; ``None`` but for "edge"."""
    alpha: Tensor
    """The coefficients; their shape depends on ``kind``."""
    kind: Kind
    """What is weighted."""
    edge_type: tuple[str, str, str] | None = None
    """Edge type, where a heterogeneous layer has one for these edges."""
    node_type: str | None = None
    """Node type whose edge types are weighted, for "semantic"."""


@dataclass(frozen=True)
class _Call:
    """A layer that is being called, and where its coefficients go."""

    layer: Any
    name: str
    records: list[AttentionRecord]
    detach: bool

    def keep(
        self,
        alpha: Tensor,
        edge_index: Adj | None = None,
        kind: Kind = "edge",
        *,
        edge_type: tuple[str, str, str] | None = None,
        node_type: str | None = None,
    ) -> None:
        """Add a record."""
        if self.detach:
            alpha = alpha.detach()
            if edge_index is not None and is_sparse(edge_index):
                edge_index = edge_index.detach()  # its values are the coefficients
        if edge_type is None and kind == "edge":
            edge_type = _edge_type(self.name)
        self.records.append(
            AttentionRecord(self.name, edge_index, alpha, kind, edge_type, node_type)
        )

    @contextmanager
    def again(self) -> Iterator[None]:
        """Compute something twice: without dropout, and with gradients only where asked for."""
        training = self.layer.training
        self.layer.training = False
        try:
            with torch.no_grad() if self.detach else nullcontext():
                yield
        finally:
            self.layer.training = training


Forward = Callable[..., Any]
Reader = Callable[[_Call, Forward, inspect.BoundArguments], Any]
"""Calls the forward, records, and returns what the forward would have returned alone."""


@contextmanager
def record_attention(model: Module, *, detach: bool = True) -> Iterator[list[AttentionRecord]]:
    r"""Record the coefficients of every attention layer while a model runs as usual.

    Recorded are the layers of :mod:`graphattn.nn`; PyG's ``GATConv``, ``GATv2Conv``,
    ``TransformerConv``, ``SuperGATConv``, ``HANConv``, ``HGTConv``, and any other
    ``MessagePassing`` whose ``forward`` takes ``return_attention_weights``; and
    :class:`torch.nn.MultiheadAttention`, in encoder layers, too. Each call of a layer adds its
    records to the list, in the order in which calls end; a layer that is called twice adds twice.

    ============ =========================== ================================================
    ``kind``     shape of ``alpha``          from
    ============ =========================== ================================================
    "edge"       ``[E', H]``                 all layers on edges; ``AEROConv``: once per step
    "hop"        ``[N, num_steps + 1, H]``   ``AEROConv``: weights of a node's states
    "semantic"   ``[R]``                     ``HANConv``: weights of the ``R`` edge types that
                                             enter a node type, in the order of the input
    "dense"      ``[B, H, L, S]``            ``MultiheadAttention``; ``B = 1`` without a batch
    ============ =========================== ================================================

    Edges are those that the layer returns. Ours keep the input's order and append self-loops that
    were missing. PyG's ``GATConv``, ``GATv2Conv`` and ``SuperGATConv`` remove self-loops of the
    input and append one for every node; other layers have the input's edges. A sparse matrix comes
    back as such a matrix, whose values are ``alpha``, or as it was given. ``HGTConv`` and
    ``HANConv`` have one record per edge type; the coefficients of an ``HGTConv`` sum to one over
    all edge types that enter a node.

    The model computes what it computes otherwise, gradients too, with the same dropout and, on the
    CPU, the same bits. One exception: torch's fused encoder layer, which has no coefficients, gives
    way to the same layer in parts. What ``torch.compile`` made runs uncompiled. Coefficients are
    those before dropout, but PyG's ``GATConv`` and ``GATv2Conv`` return them after it.
    ``AEROConv``, ``SuperGATConv``, ``HANConv``, ``HGTConv`` and ``MultiheadAttention`` compute
    their coefficients twice. Nothing is kept but what the records hold.

    Hooks see the calls and results that they would see otherwise, and contexts may be nested. When
    the context ends, also by an exception, the modules are as they were, and the list stays. Where
    layers run under :func:`torch.utils.checkpoint.checkpoint`, backward belongs into the context.

    Args:
        model: Any module with such layers.
        detach: Cut the coefficients off from autograd; False lets gradients flow through them.

    Yields:
        The list that is filled.

    Raises:
        TypeError: If ``model`` is no module.
        ValueError: If the model has no such layer, or a subclass of one whose ``forward`` hides an
            argument, such as ``return_attention_weights``; in a call, if a ``MultiheadAttention``
            gets a nested tensor, or an ``HGTConv`` a ``SparseTensor``.

    Example:
        >>> from graphattn.models import GAT
        >>> model = GAT(16, 32, num_layers=2, out_channels=7, heads=4)
        >>> x, edge_index = torch.randn(3, 16), torch.tensor([[0, 1], [1, 2]])
        >>> with record_attention(model) as records:
        ...     out = model(x, edge_index)
        >>> [(record.name, list(record.alpha.shape)) for record in records]
        [('convs.0', [5, 4]), ('convs.1', [5, 4])]
    """
    if not isinstance(model, Module):
        raise TypeError(f"'model' must be a torch.nn.Module, got {type(model).__name__}")
    found = [
        (_plain(name), module, reader)
        for name, module in model.named_modules()
        if (reader := _reader_of(module, _plain(name))) is not None
    ]
    if not found:
        raise ValueError(
            f"'model' ({type(model).__name__}) has no attention layer that can be recorded; "
            f"known are {_KNOWN}"
        )
    records: list[AttentionRecord] = []
    with ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        fused = torch.backends.mha.get_fastpath_enabled()
        if any(isinstance(module, MultiheadAttention) for _, module, _ in found):
            # A fused encoder layer doesn't call its attention.
            stack.callback(torch.backends.mha.set_fastpath_enabled, fused)
            torch.backends.mha.set_fastpath_enabled(False)
        for name, module, reader in found:
            call = _Call(module, name, records, detach)
            stack.callback(_replace_forward(call, reader, fused=fused))
        yield records


def _replace_forward(call: _Call, reader: Reader, *, fused: bool) -> Callable[[], None]:
    """Let a layer record its calls; what puts everything back.

    Neither hooks nor a wrapper of the module: hooks of the user would see changed arguments, and
    copies and state dicts another module.
    """
    module = call.layer
    plain, given = type(module).forward, module.__dict__.get("forward")
    is_open = True

    @wraps(plain)
    def forward(self: Module, *args: Any, **kwargs: Any) -> Any:
        if given is None:
            inner = partial(plain, self)
        elif isinstance(given, MethodType) and given.__self__ is module:
            inner = partial(given.__func__, self)
        else:
            inner = given
        # A copy of the layer that was made meanwhile is not part of the model.
        if not is_open or self is not module:
            return inner(*args, **kwargs)
        if isinstance(module, MultiheadAttention):
            inner = partial(_with_fast_path, fused, inner)
        return reader(call, inner, inspect.signature(plain).bind(self, *args, **kwargs))

    # A bound method, since a deep copy binds it to the copy.
    own = MethodType(forward, module)
    module.__dict__["forward"] = own

    def put_back() -> None:
        nonlocal is_open
        is_open = False
        if module.__dict__.get("forward") is not own:
            return  # somebody has put another one on top, and it may call this one
        if given is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = given

    return put_back


def _reader_of(module: Module, name: str) -> Reader | None:
    """How the coefficients of a module are read; ``None`` if it has none.

    Raises:
        ValueError: If it has, but its forward hides them.
    """
    if not isinstance(module, (MessagePassing, MultiheadAttention)):
        return None
    parameters = inspect.signature(type(module).forward).parameters
    returns = _ASK in parameters or isinstance(module, _RETURNING)
    row = next((row for row in _READERS if isinstance(module, row[0])), None)
    if row is not None:
        _, reader, needed = row
    elif returns:
        hands_on = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        reader, needed = _read_returned, () if hands_on else (_ASK,)
    else:
        return None
    hidden = [name for name in needed if name not in parameters]
    if hidden:
        raise ValueError(
            f"layer {name!r} ({type(module).__name__}) can't be recorded: its forward does not "
            f"take {', '.join(map(repr, hidden))}"
        )
    return reader


def _plain(name: str) -> str:
    """The name of a module without the part that ``torch.compile`` adds."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def _read_returned(call: _Call, forward: Forward, bound: inspect.BoundArguments) -> Any:
    """Of a layer that returns coefficients when asked."""
    extra = next(
        (n for n, each in bound.signature.parameters.items() if each.kind is each.VAR_KEYWORD), ""
    )
    named = bound.arguments
    if _ASK not in bound.signature.parameters:
        named = bound.arguments[extra] = dict(bound.arguments.get(extra, {}))
    asked = named.get(_ASK)
    wants_pair = asked is not None if isinstance(call.layer, _RETURN_PAIR_FOR_FALSE) else asked
    named[_ASK] = True
    result = forward(*bound.args[1:], **bound.kwargs)
    if not isinstance(result, tuple) or len(result) != 2:
        raise ValueError(
            f"layer {call.name!r} ({type(call.layer).__name__}) can't be recorded: with '{_ASK}' "
            f"its forward must return a pair of output and coefficients, got "
            f"{type(result).__name__}"
        )
    out, weights = result
    if isinstance(weights, SparseTensor):
        edge_index, alpha = weights, weights.storage.value()
    else:
        edge_index, alpha = weights
    call.keep(alpha if alpha.dim() > 1 else alpha.unsqueeze(1), edge_index)
    return result if wants_pair else out


def _read_aero(call: _Call, forward: Forward, bound: inspect.BoundArguments) -> Any:
    """Of all steps, computed again: the layer's kernels keep none."""
    result = forward(*bound.args[1:], **bound.kwargs)
    x, edge_index = bound.arguments["x"], bound.arguments["edge_index"]
    with call.again():
        alpha, gamma = call.layer.coefficients(x, edge_index)
    edges, _ = as_edge_list(edge_index)
    for step in alpha.unbind(1):
        weights = with_weights(edge_index, edges, step.contiguous(), (x.size(0), x.size(0)))
        if isinstance(weights, SparseTensor):
            call.keep(weights.storage.value(), weights)
        else:
            call.keep(weights[1], weights[0])
    call.keep(gamma, kind="hop")
    return result


def _read_supergat(call: _Call, forward: Forward, bound: inspect.BoundArguments) -> Any:
    """From what the layer's messages are made of."""
    layer, edges, coefficients = call.layer, [], []

    def see_edges(_: Module, inputs: tuple[Any, ...]) -> None:
        edges.append(inputs[0])

    def see_message(_: Module, inputs: tuple[dict[str, Any]]) -> None:
        (given,) = inputs
        with call.again():
            alpha = layer.get_attention(
                given["edge_index_i"], given["x_i"], given["x_j"], num_nodes=given["size_i"]
            )
        coefficients.append(alpha)

    with (
        layer.register_propagate_forward_pre_hook(see_edges),
        layer.register_message_forward_pre_hook(see_message),
    ):
        result = forward(*bound.args[1:], **bound.kwargs)
    call.keep(*coefficients, *edges)
    return result


def _read_han(call: _Call, forward: Forward, bound: inspect.BoundArguments) -> Any:
    """Of each edge type from its messages, and of edge types as the layer returns them."""
    asked = bound.arguments.get(_ASK_SEMANTIC)
    bound.arguments[_ASK_SEMANTIC] = True
    with _unit_messages(call, "x_j") as coefficients:
        result = forward(*bound.args[1:], **bound.kwargs)
    edge_index_dict = bound.arguments["edge_index_dict"]
    for (edge_type, edge_index), alpha in zip(edge_index_dict.items(), coefficients, strict=True):
        call.keep(alpha, edge_index, edge_type=edge_type)
    out, semantic = result
    for node_type, alpha in semantic.items():
        if alpha is not None:
            call.keep(alpha, kind="semantic", node_type=node_type)
    return result if asked else out


def _read_hgt(call: _Call, forward: Forward, bound: inspect.BoundArguments) -> Any:
    """From the messages, which are those of all edge types in the order of the input."""
    edge_index_dict = bound.arguments["edge_index_dict"]
    if any(isinstance(edge_index, SparseTensor) for edge_index in edge_index_dict.values()):
        raise ValueError(
            "'edge_index_dict' holds a SparseTensor, whose edges HGTConv sorts together with those "
            "of other types; record it with edge lists"
        )
    with _unit_messages(call, "v_j") as coefficients:
        result = forward(*bound.args[1:], **bound.kwargs)
    (alpha,) = coefficients
    sizes = [
        edge_index._nnz() if is_sparse(edge_index) else edge_index.size(1)
        for edge_index in edge_index_dict.values()
    ]
    parts = torch.split(alpha, sizes)
    for (edge_type, edge_index), part in zip(edge_index_dict.items(), parts, strict=True):
        call.keep(part, edge_index, edge_type=edge_type)
    return result


@contextmanager
def _unit_messages(call: _Call, values: str) -> Iterator[list[Tensor]]:
    """Collect the coefficients ``[E, H]`` of a layer whose messages are their product with values.

    The layer's own ``message`` gives them, with ones for the values.
    """
    found: list[Tensor] = []

    def see(layer: Any, inputs: tuple[dict[str, Any]]) -> None:
        (given,) = inputs
        ones = given[values].new_ones(()).expand_as(given[values])
        with call.again():
            weighted = layer.message(**{**given, values: ones}).view(ones.shape)
            # A copy, or the weights of all channels would live as long as those of one.
            found.append(weighted[..., 0].clone())

    with call.layer.register_message_forward_pre_hook(see):
        yield found


def _read_dense(call: _Call, forward: Forward, bound: inspect.BoundArguments) -> Any:
    """Computed again: asked for weights, the layer takes another way to its output."""
    named = bound.arguments
    if any(named[each].is_nested for each in ("query", "key", "value")):
        raise ValueError(
            "'query', 'key' and 'value' must not be nested tensors while attention is recorded; "
            "pad them and give a 'key_padding_mask'"
        )
    result = forward(*bound.args[1:], **bound.kwargs)
    named |= {"need_weights": True, "average_attn_weights": False}
    with call.again():
        _, alpha = type(call.layer).forward(*bound.args, **bound.kwargs)
    call.keep(alpha if alpha.dim() == 4 else alpha.unsqueeze(0), kind="dense")
    return result


def _with_fast_path(enabled: bool, forward: Forward, *args: Any, **kwargs: Any) -> Any:
    """Call with torch's fused attention as the user has it."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(enabled)
    try:
        return forward(*args, **kwargs)
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _edge_type(name: str) -> tuple[str, str, str] | None:
    """The edge type in the name of a layer that ``HeteroConv`` or ``to_hetero`` holds."""
    for part in reversed(name.split(".") if name else []):
        key = ModuleDict.to_external_key(part)
        words = key.split("__") if isinstance(key, str) else key
        if len(words) == 3 and all(words):
            src, relation, dst = words
            return src, relation, dst
    return None


_READERS: tuple[tuple[type[Module], Reader, tuple[str, ...]], ...] = (
    (AEROConv, _read_aero, ("x", "edge_index")),
    (pyg.SuperGATConv, _read_supergat, ()),
    (pyg.HANConv, _read_han, ("edge_index_dict", _ASK_SEMANTIC)),
    (pyg.HGTConv, _read_hgt, ("edge_index_dict",)),
    (
        MultiheadAttention,
        _read_dense,
        ("query", "key", "value", "need_weights", "average_attn_weights"),
    ),
)
"""Layers that do not return coefficients by a call that is otherwise the same, how they are read,
and the arguments of their forward that this takes."""
_RETURNING = (AttentionConv, pyg.GATConv, pyg.GATv2Conv, pyg.TransformerConv)
