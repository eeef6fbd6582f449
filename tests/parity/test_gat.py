"""GAT and GATv2 against outputs and gradients that other code produced.

`GRAPHATTN_PARITY` names another root of fixture folders (one per method) to check with the same
command; the array names are those of `fixtures/gat/README.md`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, elu

from graphattn.nn import AttentionConv, GATConv, GATv2Conv

ROOT = Path(os.environ.get("GRAPHATTN_PARITY") or Path(__file__).parent / "fixtures")
FILES = sorted((ROOT / "gat").glob("*.npz"))
TOLERANCE = {"rtol": 0.0, "atol": 1e-10}

Arrays = dict[str, Tensor]


def load(path: Path) -> Arrays:
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file}


def set_weights(conv: AttentionConv, arrays: Arrays, prefix: str = "") -> dict[str, str]:
    """Fill `conv`; returns the fixture's name of each parameter."""
    names = {}
    for name, parameter in conv.named_parameters():
        names[name] = prefix + name.replace(".", "_")
        with torch.no_grad():
            parameter.copy_(arrays[names[name]].view_as(parameter))
    return names


def assert_gradients(conv: AttentionConv, names: dict[str, str], arrays: Arrays) -> None:
    for name, fixture in names.items():
        expected = arrays[f"grad_{fixture}"]
        grad = conv.get_parameter(name).grad
        torch.testing.assert_close(grad.view_as(expected), expected, msg=fixture, **TOLERANCE)


def in_fixture_order(edges: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Edges in order, then loops by node, of which the fixtures have one each."""
    is_loop = edges[0] == edges[1]
    nodes, inverse = edges[0, is_loop].unique(return_inverse=True)
    loops = alpha.new_zeros(len(nodes), alpha.size(1)).index_add(0, inverse, alpha[is_loop])
    return (
        torch.cat([edges[:, ~is_loop], nodes.expand(2, -1)], dim=1),
        torch.cat([alpha[~is_loop], loops]),
    )


def check_layer(arrays: Arrays) -> None:
    x = arrays["x"].requires_grad_()
    edges, edge_attr = arrays["edge_index"], arrays.get("edge_attr")
    loops_added = bool(arrays["cfg_add_self_loops"])
    if edge_attr is not None:
        edge_attr.requires_grad_()
    v2 = bool(arrays["cfg_is_v2"])
    options = {"share_weights": bool(arrays["cfg_share_weights"])} if v2 else {}
    conv = (GATv2Conv if v2 else GATConv)(
        x.size(1),
        int(arrays["cfg_out_channels"]),
        heads=int(arrays["cfg_heads"]),
        concat=bool(arrays["cfg_concat"]),
        negative_slope=float(arrays["cfg_negative_slope"]),
        add_self_loops=loops_added,
        edge_dim=None if edge_attr is None else edge_attr.size(1),
        bias="bias" in arrays,
        **options,
    ).double()
    names = set_weights(conv, arrays)
    used_edges, used_attr = edges, edge_attr
    if loops_added and edge_attr is not None:
        # The fixtures replace a loop's features by the mean, we keep them: leave loops to be added.
        keep = edges[0] != edges[1]
        used_edges, used_attr = edges[:, keep], edge_attr[keep]
    out, weights = conv(x, used_edges, used_attr, return_attention_weights=True)
    torch.testing.assert_close(out, arrays["out"], **TOLERANCE)
    if loops_added:
        returned, alpha = in_fixture_order(*weights)
    else:
        returned, alpha = weights
    assert torch.equal(returned, arrays["edge_index_used"])
    torch.testing.assert_close(alpha, arrays["alpha"], **TOLERANCE)
    fused = conv(x, used_edges, used_attr)
    torch.testing.assert_close(fused, arrays["out"], **TOLERANCE)
    fused.backward(arrays["cotangent"])
    torch.testing.assert_close(x.grad, arrays["grad_x"], **TOLERANCE)
    if edge_attr is not None:
        torch.testing.assert_close(edge_attr.grad, arrays["grad_edge_attr"], **TOLERANCE)
    assert_gradients(conv, names, arrays)


def check_network(arrays: Arrays) -> None:
    x = arrays["x"].requires_grad_()
    edges, hidden = arrays["edge_index"], x
    layers = []
    heads, widths = arrays["cfg_heads"].tolist(), arrays["cfg_out_channels"].tolist()
    for i, (h, width) in enumerate(zip(heads, widths, strict=True)):
        conv = GATConv(
            hidden.size(1),
            width,
            heads=h,
            concat=bool(arrays["cfg_concat"][i]),
            negative_slope=float(arrays.get("cfg_negative_slope", torch.tensor(0.2))),
            residual=bool(arrays["cfg_residual"][i]),
        ).double()
        layers.append((conv, set_weights(conv, arrays, f"l{i}_")))
        out, weights = conv(hidden, edges, return_attention_weights=True)
        _, alpha = in_fixture_order(*weights)
        torch.testing.assert_close(alpha, arrays[f"alpha_{i}"], **TOLERANCE)
        torch.testing.assert_close(conv(hidden, edges), out, **TOLERANCE)
        hidden = elu(conv(hidden, edges)) if i < len(heads) - 1 else conv(hidden, edges)
        if f"hidden_{i}" in arrays:
            torch.testing.assert_close(hidden, arrays[f"hidden_{i}"], **TOLERANCE)
    torch.testing.assert_close(hidden, arrays["logits"], **TOLERANCE)
    mask = arrays["train_mask"].bool()
    labels = arrays["y"][mask]
    # Several labels per node are floats: the mean over all entries.
    several = labels.is_floating_point()
    loss = (binary_cross_entropy_with_logits if several else cross_entropy)(hidden[mask], labels)
    torch.testing.assert_close(loss, arrays["loss"], **TOLERANCE)
    loss.backward()
    torch.testing.assert_close(x.grad, arrays["grad_x"], **TOLERANCE)
    for conv, names in layers:
        assert_gradients(conv, names, arrays)


def test_there_are_fixtures() -> None:
    assert FILES, f"no fixture below {ROOT / 'gat'}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_fixture(path: Path) -> None:
    arrays = load(path)
    (check_network if "logits" in arrays else check_layer)(arrays)
