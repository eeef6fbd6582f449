"""PyG's GAT with the layers of this library, and the options of the GAT paper's network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch_geometric import nn as pyg
from torch_geometric.data import Data
from torch_geometric.typing import Adj
from tqdm.auto import tqdm

from graphattn.nn import AttentionConv, Dropout, GATConv, GATv2Conv

__all__ = ["GAT", "GATv2"]


class GAT(pyg.GAT):
    """:class:`torch_geometric.nn.GAT` with :class:`graphattn.nn.GATConv` and more options.

    Arguments, defaults, state dict and results are those of PyG's model, in training too; so are
    the ways to call it, ``to_hetero`` included. With ``act="elu"`` and ``input_dropout=dropout`` it
    is the network of `the paper <https://arxiv.org/abs/1710.10903>`_, which has the dropout of its
    section 3.3 on the features as well; :class:`graphattn.models.GATConfig` says so.

    Features given as a ``torch.sparse_csr`` matrix stay sparse: ``input_dropout`` drops non-zeros
    only, and the first projection multiplies a sparse matrix.

    Note:
        Where results differ from PyG's, :class:`graphattn.nn.AttentionConv` says.
        :meth:`inference` hands on the edge features, which PyG's leaves out, and takes the loaders
        of this library and of PyG. TorchScript takes neither model.

    Args:
        in_channels: Width of the node features, or a pair for sources and destinations; ``-1``
            takes it from the first input.
        hidden_channels: Width of hidden layers, all heads together.
        num_layers: Number of layers.
        out_channels: Width of the output; ``hidden_channels`` if ``None``.
        dropout: Probability of dropping a hidden value or a coefficient, in ``[0, 1]``.
        act: Activation between layers, by PyG's name or as a callable.
        act_first: Apply the activation before the normalisation.
        act_kwargs: Arguments of the activation.
        norm: Normalisation after hidden layers, by PyG's name or as a module.
        norm_kwargs: Arguments of the normalisation.
        jk: Jumping knowledge (``"last"``, ``"cat"``, ``"max"``, ``"lstm"``).
        heads: Heads of a hidden layer; divides ``hidden_channels`` if they are concatenated.
        concat: Concatenate the heads of hidden layers; False averages them.
        out_heads: Heads of the layer that maps to ``out_channels`` (there is none with ``jk``),
            which averages them; ``heads`` if ``None``.
        input_dropout: Probability of dropping an input of the first layer, in ``[0, 1]``.
        attention_dropout: Probability of dropping a coefficient; ``dropout`` if ``None``.
        v2: Layers of :class:`graphattn.nn.GATv2Conv`, from `the paper of GATv2
            <https://arxiv.org/abs/2105.14491>`_.
        **kwargs: Arguments of the layer, such as ``edge_dim`` or ``residual``.

    Raises:
        ValueError: If ``heads`` does not divide ``hidden_channels``.

    Example:
        >>> model = GAT(1433, 64, num_layers=2, out_channels=7, heads=8)
        >>> model
        GAT(1433, 7, num_layers=2)
        >>> from graphattn.nn import record_attention
        >>> x, edge_index = torch.randn(3, 1433), torch.tensor([[0, 1], [1, 2]])
        >>> with record_attention(model) as records:
        ...     out = model(x, edge_index)
        >>> out.shape, [record.alpha.shape for record in records]
        (torch.Size([3, 7]), [torch.Size([5, 8]), torch.Size([5, 8])])
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        hidden_channels: int,
        num_layers: int,
        out_channels: int | None = None,
        dropout: float = 0.0,
        act: Any = "relu",
        act_first: bool = False,
        act_kwargs: dict[str, Any] | None = None,
        norm: Any = None,
        norm_kwargs: dict[str, Any] | None = None,
        jk: str | None = None,
        *,
        heads: int = 1,
        concat: bool = True,
        out_heads: int | None = None,
        input_dropout: float = 0.0,
        attention_dropout: float | None = None,
        v2: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            hidden_channels,
            num_layers,
            out_channels,
            dropout,
            act,
            act_first,
            act_kwargs,
            norm,
            norm_kwargs,
            jk,
            heads=heads,
            concat=concat,
            out_heads=heads if out_heads is None else out_heads,
            attention_dropout=dropout if attention_dropout is None else attention_dropout,
            v2=v2,
            **kwargs,
        )
        self.input_dropout = Dropout(input_dropout)

    def init_conv(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        *,
        heads: int,
        concat: bool,
        out_heads: int,
        attention_dropout: float,
        v2: bool,
        **kwargs: Any,
    ) -> AttentionConv:
        """Make one layer; called by PyG's constructor."""
        # PyG sets the flag before it makes the layer that maps to `out_channels`.
        if getattr(self, "_is_conv_to_out", False):
            heads, concat = out_heads, False
        elif concat:
            if heads < 1 or out_channels % heads != 0:
                raise ValueError(
                    f"'heads' ({heads}) must divide 'hidden_channels' ({out_channels})"
                )
            out_channels //= heads
        conv = GATv2Conv if v2 else GATConv
        return conv(
            in_channels,
            out_channels,
            heads=heads,
            concat=concat,
            dropout=attention_dropout,
            **kwargs,
        )

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor | None],
        edge_index: Adj,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        num_sampled_nodes_per_hop: list[int] | None = None,
        num_sampled_edges_per_hop: list[int] | None = None,
    ) -> Tensor:
        """Compute node outputs.

        Args:
            x: Node features, dense or ``torch.sparse_csr``, shape ``[N, in_channels]``; or a pair
                for the sources and destinations of the first layer.
            edge_index: Edges in any form that the layers take.
            edge_weight: Not used, as in PyG's model; it holds the place of that of other models.
            edge_attr: Edge features. Shape ``[E, edge_dim]``.
            batch: Graph of every node, for normalisations that ask. Shape ``[N]``.
            batch_size: Number of graphs, likewise.
            num_sampled_nodes_per_hop: Sizes of a sampled block, to compute only what is needed.
            num_sampled_edges_per_hop: Likewise.

        Returns:
            Outputs. Shape ``[N, out_channels]``.

        Raises:
            TypeError: If ``x`` is no tensor.
            ValueError: If the width of ``x`` is not ``in_channels``; see also the layer.
        """
        # Traced by PyG's `to_hetero`: nothing here may look at an argument.
        out: Tensor = super().forward(
            self.input_dropout(x),
            edge_index,
            edge_weight,
            edge_attr,
            batch,
            batch_size,
            num_sampled_nodes_per_hop,
            num_sampled_edges_per_hop,
        )
        return out

    @torch.no_grad()
    def inference_per_layer(
        self,
        layer: int,
        x: Tensor,
        edge_index: Adj,
        batch_size: int,
        edge_attr: Tensor | None = None,
    ) -> Tensor:
        """Compute one layer, with what follows it, for the first nodes of a batch.

        Args:
            layer: Number of the layer, from 0.
            x: Its input. Shape ``[N, F]``.
            edge_index: Edges of the batch.
            batch_size: Number of nodes to return.
            edge_attr: Features of the edges. Shape ``[E, edge_dim]``.

        Returns:
            Shape ``[batch_size, F']``.
        """
        with self._layers_called_with(edge_attr=edge_attr):
            out: Tensor = super().inference_per_layer(layer, x, edge_index, batch_size)
            return out

    @torch.no_grad()
    def inference(
        self,
        loader: Iterable[Data],
        device: str | torch.device | None = None,
        embedding_device: str | torch.device = "cpu",
        progress_bar: bool = False,
        cache: bool = False,
    ) -> Tensor:
        """Compute the outputs of all nodes layer by layer, with every node once per layer.

        Args:
            loader: A ``NeighborLoader`` of this library or of PyG that goes through all nodes with
                all neighbours of one hop (``num_neighbors=[-1]``), in any order.
            device: Where to compute.
            embedding_device: Where the states of all nodes are kept.
            progress_bar: Show a progress bar.
            cache: Keep the batches for the next layers, on ``device``.

        Returns:
            Shape ``[N, out_channels]``, on ``embedding_device``.

        Raises:
            ValueError: If the model is in training mode, ``jk`` needs the states of all layers, or
                ``loader`` is not as described.
        """
        if self.training:
            raise ValueError("'inference' needs a model in evaluation mode; call eval() first")
        if self.jk_mode not in (None, "last"):
            raise ValueError(
                f"'jk' must be None or 'last' for layer-wise inference, got {self.jk_mode!r}"
            )
        states: Tensor = loader.data.x.to(embedding_device)  # type: ignore[attr-defined]
        batches: Iterable[Data] = loader
        if cache:
            batches = [self._for_inference(batch).to(device) for batch in loader]
        total = self.num_layers * len(loader)  # type: ignore[arg-type]
        with tqdm(total=total, desc="Inference", disable=not progress_bar) as bar:
            for layer in range(self.num_layers):
                parts, nodes = [], []
                for batch in batches:
                    one = self._for_inference(batch).to(device)
                    out = self.inference_per_layer(
                        layer,
                        states[one.n_id.to(states.device)].to(device),
                        one.edges,
                        one.batch_size,
                        one.edge_attr,
                    )
                    parts.append(out.to(embedding_device))
                    nodes.append(one.n_id[: one.batch_size].to(states.device))
                    bar.update()
                states = _in_order(parts, nodes, states.size(0))
        return states

    def _for_inference(self, batch: Data) -> Data:
        """What layer-wise inference needs of a batch."""
        if "edges" in batch:
            return batch
        sampled = batch.get("num_sampled_nodes")
        hops = 1 if sampled is None else len(sampled) - 1
        if hops != 1:
            raise ValueError(
                f"'loader' must sample one hop (num_neighbors=[-1]), it samples {hops}"
            )
        takes_features = self.convs[0].edge_dim is not None
        return Data(
            n_id=batch.n_id,
            batch_size=batch.batch_size,
            edges=batch.adj_t if "adj_t" in batch else batch.edge_index,
            edge_attr=batch.get("edge_attr") if takes_features else None,
        )

    @contextmanager
    def _layers_called_with(self, **options: Any) -> Iterator[None]:
        """Add keyword arguments to the calls of the layers that PyG's methods make."""

        def add(_: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
            return args, {**kwargs, **options}

        handles = [conv.register_forward_pre_hook(add, with_kwargs=True) for conv in self.convs]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _in_order(parts: list[Tensor], nodes: list[Tensor], num_nodes: int) -> Tensor:
    """Rows of batches at the places of their nodes, which must be all nodes."""
    index = torch.cat(nodes)
    missing = num_nodes - int(torch.bincount(index, minlength=num_nodes).count_nonzero())
    if missing:
        raise ValueError(
            f"'loader' must go through all {num_nodes} nodes, it leaves out {missing}; make it "
            "with input_nodes=None and drop_last=False"
        )
    rows = torch.cat(parts)
    return rows.new_empty(num_nodes, rows.size(1)).index_copy_(0, index, rows)


class GATv2(GAT):
    """:class:`GAT` with ``v2=True``: layers of :class:`graphattn.nn.GATv2Conv`.

    Example:
        >>> GATv2(16, hidden_channels=64, num_layers=2, out_channels=7, heads=8)
        GATv2(16, 7, num_layers=2)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"v2": True, **kwargs})
