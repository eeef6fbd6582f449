"""Tuned GAT and the blocks of Platonov et al. against outputs and gradients of the authors' code.

`GRAPHATTN_PARITY` names another root of fixture folders; the array names are those of
`fixtures/tuned/README.md`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from graphattn.models import AttentionBlock, GATTuned
from graphattn.nn import AdditiveConv, TransformerConv, record_attention

ROOT = Path(os.environ.get("GRAPHATTN_PARITY") or Path(__file__).parent / "fixtures") / "tuned"
VALUES = {"rtol": 0.0, "atol": 1e-10}
GRADIENTS = {"rtol": 0.0, "atol": 1e-8}

Arrays = dict[str, Tensor]


def load(name: str) -> dict[str, np.ndarray]:
    with np.load(ROOT / f"{name}.npz") as file:
        return dict(file)


def fill(model: nn.Module, arrays: Arrays, prefix: str) -> None:
    """Give the model the parameters and statistics of a fixture, under our names."""
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    named = {name: one for name, one in named.items() if "num_batches" not in name}
    own = {name.removeprefix(prefix) for name in arrays if name.startswith(prefix)}
    assert own == named.keys()
    with torch.no_grad():
        for name, one in named.items():
            one.copy_(arrays[prefix + name].view_as(one))


def assert_gradients(model: nn.Module, arrays: Arrays, prefix: str) -> None:
    for name, parameter in model.named_parameters():
        expected = arrays[prefix + name].view_as(parameter)
        torch.testing.assert_close(parameter.grad, expected, **GRADIENTS, msg=name)


# Ours and the authors' names; `{}` is the number of the layer.
TUNED = {
    "local_convs_{}_att_src": "blocks.{}.conv.att_src",
    "local_convs_{}_att_dst": "blocks.{}.conv.att_dst",
    "local_convs_{}_lin_weight": "blocks.{}.conv.lin.weight",
    "lins_{}_weight": "blocks.{}.lin_res.weight",
    "lins_{}_bias": "blocks.{}.lin_res.bias",
    **{
        f"{norm}_{{}}_{name}": f"blocks.{{}}.norm.{name}"
        for norm in ("lns", "bns")
        for name in ("weight", "bias", "running_mean", "running_var")
    },
}
CLASSIFIER = {"pred_local_weight": "lin_out.weight", "pred_local_bias": "lin_out.bias"}


def tuned_arrays(name: str) -> tuple[Arrays, dict[str, np.ndarray]]:
    raw = load(name)
    names = CLASSIFIER | {
        theirs.format(i): ours.format(i)
        for i in range(int(raw["layers"]))
        for theirs, ours in TUNED.items()
    }
    arrays = {}
    for key, value in raw.items():
        if value.dtype.kind != "U":
            kind, _, rest = key.partition("_")
            key = f"{kind}_{names[rest]}" if kind in ("param", "grad") else key
            arrays[key] = torch.from_numpy(value)
    return arrays, raw


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("name", ["tuned_gat_bn_res", "tuned_gat_ln_res", "tuned_gat_plain"])
def test_tuned_gat(name: str, form: str) -> None:
    arrays, raw = tuned_arrays(name)
    norm = {"bn": "batch_norm", "ln": "layer_norm", "none": None}[str(raw["norm"])]
    x, edges, labels = arrays["x"], arrays["edge_index"], arrays["labels"]
    model = GATTuned(
        x.size(1),
        len(arrays["param_blocks.0.conv.lin.weight"]),
        int(raw["layers"]),
        arrays["out"].size(1),
        norm=norm,
        residual=bool(raw["residual"]),
        dropout=0.3,
    )
    model = model.double().eval()
    fill(model, arrays, "param_")
    out = model(x if form == "dense" else x.to_sparse_csr(), edges)
    torch.testing.assert_close(out, arrays["out"], **VALUES)
    nodes = arrays["train_idx"]
    loss = cross_entropy(out[nodes], labels[nodes])
    torch.testing.assert_close(loss, arrays["loss"], **VALUES)
    loss.backward()
    assert_gradients(model, arrays, "grad_")


# The authors' names of the first sub-block, and ours.
SEP = {
    "normalization_weight": "norm.weight",
    "normalization_bias": "norm.bias",
    "module_input_linear_weight": "lin_in.weight",
    "module_input_linear_bias": "lin_in.bias",
    "module_attn_linear_u_weight": "conv.lin_src.weight",
    "module_attn_linear_u_bias": "conv.lin_src.bias",
    "module_attn_linear_v_weight": "conv.lin_dst.weight",
    "module_feed_forward_module_linear_1_weight": "lin_out.0.weight",
    "module_feed_forward_module_linear_1_bias": "lin_out.0.bias",
    "module_feed_forward_module_linear_2_weight": "lin_out.3.weight",
    "module_feed_forward_module_linear_2_bias": "lin_out.3.bias",
    # There, queries belong to sources.
    "module_attn_query_weight": "conv.lin_key.weight",
    "module_attn_query_bias": "conv.lin_key.bias",
    "module_attn_key_weight": "conv.lin_query.weight",
    "module_attn_key_bias": "conv.lin_query.bias",
    "module_attn_value_weight": "conv.lin_value.weight",
    "module_attn_value_bias": "conv.lin_value.bias",
    "module_output_linear_weight": "lin_out.weight",
    "module_output_linear_bias": "lin_out.bias",
}
FEED_FORWARD = {
    "normalization_weight": "norm.weight",
    "normalization_bias": "norm.bias",
    "module_linear_1_weight": "lin_out.0.weight",
    "module_linear_1_bias": "lin_out.0.bias",
    "module_linear_2_weight": "lin_out.3.weight",
    "module_linear_2_bias": "lin_out.3.bias",
}


def sep_arrays(block: str, *, interleaved: bool) -> Arrays:
    """One block of the file, with our names and, where heads are interleaved, our channels."""
    raw = load("sep_blocks")
    heads, arrays = int(raw["heads"]), {}
    width = raw[f"{block}_x"].shape[1]
    order = torch.arange(width).view(-1, heads).t().flatten()
    for key, value in raw.items():
        if not key.startswith(f"{block}_"):
            continue
        key, tensor = key.removeprefix(f"{block}_"), torch.from_numpy(value)
        kind, _, rest = key.partition("_")
        if rest[:2] in ("0_", "1_"):
            names = SEP if rest[0] == "0" else FEED_FORWARD
            name = names[rest[2:]]
            if interleaved and name.startswith("lin_in"):
                tensor = tensor[order]
            elif interleaved and name.startswith("conv") and tensor.dim() == 2:
                tensor = tensor[:, order]
            elif interleaved and name == "lin_out.0.weight":
                parts = tensor.size(1) // width
                tensor = torch.cat([tensor[:, order + i * width] for i in range(parts)], dim=1)
            key = f"{kind}_{rest[0]}_{name}"
        arrays[key] = tensor
    return arrays


@pytest.mark.parametrize("name", ["gat", "gatsep", "gtsep"])
def test_block(name: str) -> None:
    arrays = sep_arrays(name, interleaved=name != "gtsep")
    heads = arrays["attention"].size(1)
    x = arrays["x"].requires_grad_()
    width = x.size(1)
    common = {"residual": "identity", "norm": "layer_norm", "norm_first": True, "act": "gelu"}
    if name == "gtsep":
        conv = TransformerConv(width, width // heads, heads=heads, root_weight=False)
        # PyG's layer has this map without using it.
        del conv.lin_skip
        first = AttentionBlock(width, width, conv, sep=True, output_map="linear", **common)
        second = AttentionBlock(width, width, output_map="feed_forward", **common)
        blocks = [first, second]
    else:
        conv = AdditiveConv(width, heads, add_self_loops=name == "gat")
        blocks = [
            AttentionBlock(
                width,
                width,
                conv,
                input_map=True,
                sep=name == "gatsep",
                output_map="feed_forward",
                **common,
            )
        ]
    h, edges = x, arrays["edge_index"]
    for i, block in enumerate(blocks):
        fill(block.double().eval(), arrays, f"param_{i}_")
        h = block(h, edges)
    torch.testing.assert_close(h, arrays["out"], **VALUES)
    (h * arrays["vjp_weight"]).sum().backward()
    torch.testing.assert_close(x.grad, arrays["vjp_x"], **GRADIENTS)
    for i, block in enumerate(blocks):
        assert_gradients(block, arrays, f"vjp_{i}_")
    with record_attention(blocks[0]) as records:
        blocks[0](x, edges)
    # Every node has its loop in the file, so that those added get no weight.
    torch.testing.assert_close(records[0].alpha[: edges.size(1)], arrays["attention"], **VALUES)
