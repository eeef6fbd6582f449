from __future__ import annotations

import copy
import io
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch_geometric.explain import AttentionExplainer, Explainer
from torch_geometric.utils import scatter, softmax, to_torch_csr_tensor

import graphattn.nn as ours
from graphattn.models import AEROGNN, GAT, MLP
from graphattn.nn import AttentionRecord, record_attention

# Node 0 has one self-loop, node 2 two of them, 3 -> 0 is doubled, 5 has no edge.
EDGES = torch.tensor([[0, 1, 2, 3, 3, 4, 2, 0, 2], [1, 2, 2, 0, 0, 1, 0, 0, 2]])
NUM_NODES, WIDTH, HEADS = 6, 8, 2
METADATA = (["a", "b"], [("a", "to", "b"), ("b", "to", "a"), ("b", "self", "b")])
RELATIONS = {
    ("a", "to", "b"): torch.tensor([[0, 1, 2, 2], [1, 0, 0, 3]]),
    ("b", "to", "a"): torch.tensor([[3, 0], [1, 1]]),
    ("b", "self", "b"): torch.tensor([[3, 1, 2], [0, 1, 3]]),
}

RETURNING = {
    f"{room}.{name}": getattr(module, name)
    for room, module, names in (
        ("graphattn", ours, ("GATConv", "GATv2Conv", "TransformerConv")),
        ("pyg", pyg, ("GATConv", "GATv2Conv", "TransformerConv")),
    )
    for name in names
}


def features(num_nodes: int = NUM_NODES, *, seed: int = 1) -> Tensor:
    return torch.randn(num_nodes, WIDTH, generator=torch.Generator().manual_seed(seed))


def hetero_features() -> dict[str, Tensor]:
    return {"a": features(3), "b": features(4, seed=2)}


def flat(out: Any) -> Tensor:
    """All outputs of a layer as one vector."""
    parts = out.values() if isinstance(out, dict) else out if isinstance(out, tuple) else (out,)
    return torch.cat([part.flatten() for part in parts if part is not None])


def run(model: nn.Module, *args: Any, seed: int = 0) -> list[Tensor]:
    """Output and gradients of all parameters, of a fixed random sum."""
    model.zero_grad()
    torch.manual_seed(seed)
    out = flat(model(*args))
    out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(2)))
    grads = [torch.zeros(()) if p.grad is None else p.grad for p in model.parameters()]
    return [out.detach(), *grads]


class RGAT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = pyg.RGATConv(WIDTH, 4, num_relations=2, heads=HEADS, dropout=0.5)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(x, edge_index, edge_index[0] % 2)


class FA(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = pyg.FAConv(WIDTH, dropout=0.5)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(x, x, edge_index)


class Sets(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **options)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        out, _ = self.attention(x[None], x[None], x[None], need_weights=False)
        return out


def encoder(**options: Any) -> nn.Module:
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, batch_first=True, **options)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=not options.get("norm_first"))


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[Any, ...]]] = {
    **{
        name: (lambda layer=layer: layer(WIDTH, 4, heads=HEADS, dropout=0.5), (features(), EDGES))
        for name, layer in RETURNING.items()
    },
    "AEROConv": (lambda: ours.AEROConv(WIDTH, 3, heads=HEADS), (features(), EDGES)),
    "SuperGATConv": (
        lambda: pyg.SuperGATConv(WIDTH, 4, heads=HEADS, dropout=0.5, attention_type="MX"),
        (features(), EDGES),
    ),
    "RGATConv": (RGAT, (features(), EDGES)),
    "FAConv": (FA, (features(), EDGES)),
    "HANConv": (
        lambda: pyg.HANConv(WIDTH, 4, METADATA, heads=HEADS, dropout=0.5),
        (hetero_features(), RELATIONS),
    ),
    "HGTConv": (
        lambda: pyg.HGTConv(WIDTH, WIDTH, METADATA, heads=HEADS),
        (hetero_features(), RELATIONS),
    ),
    "MultiheadAttention": (lambda: Sets(dropout=0.5), (features(), EDGES)),
    "TransformerEncoder": (lambda: encoder(dropout=0.5), (features()[None],)),
    "GPSConv": (
        lambda: pyg.GPSConv(WIDTH, pyg.GATConv(WIDTH, WIDTH), heads=HEADS, dropout=0.5),
        (features(), EDGES),
    ),
    "GAT": (
        lambda: GAT(WIDTH, 8, 2, 3, heads=HEADS, dropout=0.5),
        (features(), EDGES),
    ),
}


@pytest.fixture(params=MODELS)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, tuple[Any, ...]]:
    torch.manual_seed(3)
    make, args = MODELS[request.param]
    return make(), args


@pytest.mark.parametrize("training", [True, False])
def test_changes_neither_outputs_nor_gradients(
    case: tuple[nn.Module, tuple[Any, ...]], training: bool
) -> None:
    model, args = case
    expected = run(model.train(training), *args)
    with record_attention(model) as records:
        found = run(model, *args)
    assert records
    assert all(map(torch.equal, found, expected))
    assert not any(record.alpha.requires_grad for record in records)


def test_changes_nothing_without_gradients(case: tuple[nn.Module, tuple[Any, ...]]) -> None:
    model, args = case
    model.eval()
    with torch.no_grad():
        expected = flat(model(*args))
        with record_attention(model) as records:
            found = flat(model(*args))
    assert records
    kept = (record.alpha.untyped_storage() for record in records)
    stored = {memory.data_ptr(): memory.nbytes() for memory in kept}
    assert sum(stored.values()) == sum(4 * record.alpha.numel() for record in records)
    # torch's fused encoder layer is another kernel.
    if isinstance(model, nn.TransformerEncoder):
        torch.testing.assert_close(found, expected)
    else:
        assert torch.equal(found, expected)


def test_modules_are_as_before(case: tuple[nn.Module, tuple[Any, ...]]) -> None:
    model, args = case

    def state() -> list[list[tuple[str, Any]]]:
        return [
            [(name, value if name.endswith(("hooks", "training")) else ...) for name, value in each]
            for each in (list(vars(module).items()) for module in model.modules())
        ]

    run(model, *args)  # the layers keep something of their last call
    before, keys = copy.deepcopy(state()), list(model.state_dict())
    enabled = torch.backends.mha.get_fastpath_enabled()
    lists: list[list[AttentionRecord]] = []

    def fail_inside() -> None:
        with record_attention(model) as found:
            lists.append(found)
            assert list(model.state_dict()) == keys
            run(model, *args)
            model(None, *args[1:])

    with pytest.raises((AttributeError, TypeError)):
        fail_inside()
    (records,) = lists
    assert records
    assert state() == before
    assert torch.backends.mha.get_fastpath_enabled() == enabled
    count = len(records)
    run(model, *args)
    assert len(records) == count


@pytest.mark.parametrize("name", RETURNING)
@pytest.mark.parametrize("training", [True, False])
def test_gives_what_the_layer_returns(name: str, training: bool) -> None:
    conv = RETURNING[name](WIDTH, 4, heads=HEADS, dropout=0.5).train(training)
    torch.manual_seed(0)
    _, (edges, alpha) = conv(features(), EDGES, return_attention_weights=True)
    torch.manual_seed(0)
    with record_attention(conv) as records:
        conv(features(), EDGES)
    (record,) = records
    assert (record.name, record.kind, record.edge_type) == ("", "edge", None)
    assert torch.equal(record.edge_index, edges)
    assert torch.equal(record.alpha, alpha)
    assert record.alpha.untyped_storage().nbytes() == 4 * edges.size(1) * HEADS


@pytest.mark.parametrize("name", RETURNING)
def test_any_form_of_graph(name: str) -> None:
    layer = RETURNING[name]
    options = {} if "Transformer" in name else {"add_self_loops": False}
    pair = (features(5, seed=3), features())
    conv = layer((WIDTH, WIDTH), 4, heads=HEADS, **options)
    matrix = to_torch_csr_tensor(torch.unique(EDGES, dim=1).flip(0), size=(6, 5))
    for edge_index in (EDGES, matrix):
        _, (edges, alpha) = conv(pair, edge_index, return_attention_weights=True)
        with record_attention(conv) as records:
            conv(pair, edge_index)
        assert records[0].edge_index.layout == edge_index.layout
        assert not records[0].edge_index.requires_grad
        torch.testing.assert_close(records[0].edge_index.to_dense(), edges.detach().to_dense())
        assert torch.equal(records[0].alpha, alpha)
    backwards = layer(WIDTH, 4, heads=HEADS, flow="target_to_source", **options)
    _, (edges, alpha) = backwards(features(), EDGES, return_attention_weights=True)
    with record_attention(backwards) as records:
        backwards(features(), EDGES)
    assert torch.equal(records[0].edge_index, edges)
    assert torch.equal(records[0].alpha, alpha)


@pytest.mark.parametrize("training", [True, False])
def test_supergat(training: bool) -> None:
    for kind in ("MX", "SD"):
        conv = pyg.SuperGATConv(WIDTH, 4, heads=HEADS, attention_type=kind, bias=False)
        with record_attention(conv.train(training)) as records:
            out = conv(features(), EDGES)
        (record,) = records
        src, dst = record.edge_index
        assert record.alpha.shape == (src.numel(), HEADS)
        sums = scatter(record.alpha, dst, 0, NUM_NODES)
        torch.testing.assert_close(sums, torch.ones(NUM_NODES, HEADS))
        values = conv.lin(features()).view(-1, HEADS, 4)
        again = scatter(record.alpha.unsqueeze(-1) * values[src], dst, 0, NUM_NODES)
        torch.testing.assert_close(out, again.flatten(1))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_han(dropout: float) -> None:
    conv = pyg.HANConv(WIDTH, 4, METADATA, heads=HEADS, dropout=dropout)
    x_dict = hetero_features()
    _, semantic = conv.eval()(x_dict, RELATIONS, return_semantic_attention_weights=True)
    with record_attention(conv.train()) as records:
        conv(x_dict, RELATIONS)
    edge_records = [record for record in records if record.kind == "edge"]
    assert [record.edge_type for record in edge_records] == list(RELATIONS)
    for record in edge_records:
        key, (source, _, target) = "__".join(record.edge_type), record.edge_type
        src, dst = RELATIONS[record.edge_type]
        assert torch.equal(record.edge_index, RELATIONS[record.edge_type])
        score = (conv.proj[source](x_dict[source]).view(-1, HEADS, 2) * conv.lin_src[key]).sum(-1)
        other = (conv.proj[target](x_dict[target]).view(-1, HEADS, 2) * conv.lin_dst[key]).sum(-1)
        score = nn.functional.leaky_relu(score[src] + other[dst], 0.2)
        torch.testing.assert_close(record.alpha, softmax(score, dst).detach())
        assert record.alpha.untyped_storage().nbytes() == 4 * record.alpha.numel()
    found = {record.node_type: record.alpha for record in records if record.kind == "semantic"}
    assert {key: len(alpha) for key, alpha in found.items()} == {"a": 1, "b": 2}
    if dropout == 0.0:
        torch.testing.assert_close(found, {key: one.detach() for key, one in semantic.items()})


def test_hgt() -> None:
    conv = pyg.HGTConv(WIDTH, WIDTH, METADATA, heads=HEADS)
    x_dict = hetero_features()
    matrix = to_torch_csr_tensor(RELATIONS["a", "to", "b"].flip(0), size=(4, 3))
    for edge_index in (RELATIONS["a", "to", "b"], matrix):
        relations = {**RELATIONS, ("a", "to", "b"): edge_index}
        with record_attention(conv) as records:
            conv(x_dict, relations)
        assert [record.edge_type for record in records] == list(RELATIONS)
        for record in records:
            given = relations[record.edge_type]
            assert record.edge_index.layout == given.layout
            assert torch.equal(record.edge_index.to_dense(), given.to_dense())
    # By hand: the score of one edge type is scaled by its prior.
    sums = {"a": torch.zeros(3, HEADS), "b": torch.zeros(4, HEADS)}
    with record_attention(conv) as records:
        conv(x_dict, RELATIONS)
    kqv = conv.kqv_lin(x_dict)
    width = WIDTH // HEADS
    scores = {}
    for place, (source, _, target) in enumerate(RELATIONS):
        src, dst = RELATIONS[METADATA[1][place]]
        keys = kqv[source][:, :WIDTH].view(-1, HEADS, width)
        queries = kqv[target][:, WIDTH : 2 * WIDTH].view(-1, HEADS, width)
        maps = conv.k_rel.weight.view(HEADS, len(RELATIONS), width, width)[:, place]
        keys = torch.einsum("nhd,hdc->nhc", keys, maps)
        prior = conv.p_rel["__".join(METADATA[1][place])]
        score = (queries[dst] * keys[src]).sum(-1) * prior / math.sqrt(width)
        scores[METADATA[1][place]] = score.exp()
        sums[target] = sums[target].index_add(0, dst, scores[METADATA[1][place]])
    for record in records:
        target = record.edge_type[2]
        expected = scores[record.edge_type] / sums[target][record.edge_index[1]]
        torch.testing.assert_close(record.alpha, expected.detach())


def test_aero_records_every_step() -> None:
    conv = ours.AEROConv(WIDTH, 3, heads=HEADS)
    x = features()
    _, (_, alpha) = conv(x, EDGES, return_attention_weights=True)
    with record_attention(conv) as records:
        conv(x, EDGES)
    *steps, hops = records
    assert [record.kind for record in records] == ["edge"] * 3 + ["hop"]
    torch.testing.assert_close(torch.stack([step.alpha for step in steps], 1), alpha.detach())
    torch.testing.assert_close(hops.alpha, conv.hop_attention(x, EDGES).detach())
    matrix = to_torch_csr_tensor(torch.unique(EDGES, dim=1).flip(0), size=(6, 6))
    _, (of_matrix, alpha) = conv(x, matrix, return_attention_weights=True)
    with record_attention(conv) as records:
        conv(x, matrix)
    for step, record in enumerate(records[:3]):
        assert torch.equal(record.edge_index.col_indices(), of_matrix.col_indices())
        assert torch.equal(record.edge_index.values(), record.alpha)
        torch.testing.assert_close(record.alpha, alpha[:, step].detach())


def test_layers_of_a_model_in_order() -> None:
    x, inputs = features(), {}
    for model in (GAT(WIDTH, 8, 3, 5, heads=HEADS), AEROGNN(WIDTH, 8, 1, 3, num_steps=1)):
        layers = {
            name: module
            for name, module in model.named_modules()
            if isinstance(module, pyg.MessagePassing)
        }
        for name, layer in layers.items():
            layer.register_forward_pre_hook(lambda _, args, name=name: inputs.update({name: args}))
        with record_attention(model) as records:
            model(x, EDGES)
        edge_records = [record for record in records if record.kind == "edge"]
        assert [record.name for record in edge_records] == list(layers)
        for record in edge_records:
            layer = layers[record.name]
            _, (edges, alpha) = layer(*inputs[record.name], return_attention_weights=True)
            assert torch.equal(record.edge_index, edges)
            torch.testing.assert_close(record.alpha, alpha.detach().view_as(record.alpha))


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"add_zero_attn": True}, {"kdim": 5}])
@pytest.mark.parametrize("need_weights", [True, False])
def test_dense_attention(options: dict[str, Any], need_weights: bool) -> None:
    attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **options).eval()
    x, mask = torch.randn(3, 5, WIDTH), torch.zeros(3, 5, dtype=torch.bool)
    mask[1, 3:] = True
    key = torch.randn(3, 5, options.get("kdim", WIDTH))
    _, expected = attention(x, key, x, key_padding_mask=mask, average_attn_weights=False)
    for training in (False, True):
        attention.train(training).dropout = 0.5
        torch.manual_seed(0)
        plain = attention(x, key, x, key_padding_mask=mask, need_weights=need_weights)
        torch.manual_seed(0)
        with record_attention(attention) as records:
            found = attention(x, key, x, mask, need_weights)
        assert torch.equal(found[0], plain[0])
        assert found[1] is plain[1] is None or torch.equal(found[1], plain[1])
        (record,) = records
        assert (record.kind, record.edge_index) == ("dense", None)
        assert record.alpha.shape == (3, HEADS, 5, 5 + ("add_zero_attn" in options))
        assert torch.equal(record.alpha, expected.detach())
        assert attention.training == training
    with record_attention(attention) as records:
        attention(x[0], key[0], x[0])
    assert records[0].alpha.shape[0] == 1


def test_encoder_and_decoder_layers() -> None:
    x, mask = torch.randn(3, 5, WIDTH), torch.zeros(3, 5, dtype=torch.bool)
    mask[1, 3:] = True
    # With the mask, and without gradients, torch packs the sets and takes its fused layers.
    for model in (encoder().eval(), encoder(norm_first=True).eval()):
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch: nested tensors are a prototype
            expected = model(x, src_key_padding_mask=mask)
            with record_attention(model) as records:
                found = model(x, src_key_padding_mask=mask)
        torch.testing.assert_close(found[~mask], expected[~mask])
        assert [record.name for record in records] == ["layers.0.self_attn", "layers.1.self_attn"]
        assert (records[1].alpha[1, ..., 3:] == 0).all()
    decoder = nn.TransformerDecoderLayer(WIDTH, HEADS, 16, batch_first=True)
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    with record_attention(decoder) as records:
        decoder(x, torch.randn(3, 7, WIDTH), tgt_mask=causal, tgt_is_causal=True)
    assert [record.name for record in records] == ["self_attn", "multihead_attn"]
    assert torch.equal(records[0].alpha, records[0].alpha.tril())
    assert records[1].alpha.shape == (3, HEADS, 5, 7)


@pytest.mark.parametrize("name", RETURNING)
def test_layers_of_a_heterogeneous_wrapper(name: str) -> None:
    options = {} if "Transformer" in name else {"add_self_loops": False}
    layers = {
        edge_type: RETURNING[name]((WIDTH, WIDTH), 4, heads=HEADS, **options)
        for edge_type in RELATIONS
    }
    with record_attention(model := pyg.HeteroConv(layers)) as records:
        model(hetero_features(), RELATIONS)
    assert [record.edge_type for record in records] == list(RELATIONS)
    assert len({record.name for record in records}) == 3

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = RETURNING[name]((WIDTH, WIDTH), 4, heads=HEADS, **options)
            self.second = RETURNING[name]((WIDTH, WIDTH), 4, heads=HEADS, **options)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.second(self.first(x, edge_index).relu(), edge_index)

    wrapped = pyg.to_hetero(Two(), METADATA)
    expected = flat(wrapped(hetero_features(), RELATIONS))
    with record_attention(wrapped) as records:
        found = flat(wrapped(hetero_features(), RELATIONS))
    assert torch.equal(found, expected)
    assert [record.edge_type for record in records] == [*RELATIONS] * 2
    assert [record.name.split(".")[0] for record in records] == ["first"] * 3 + ["second"] * 3
    for record in records:
        assert torch.equal(record.edge_index, RELATIONS[record.edge_type])


class Shared(nn.Module):
    """One layer, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = self.same = ours.GATConv(WIDTH, 4, heads=HEADS)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.same(self.conv(x, edge_index), edge_index=edge_index)


def test_each_call_has_a_record() -> None:
    model, x = Shared(), features()
    with record_attention(model) as records:
        model(x, EDGES)
    assert [record.name for record in records] == ["conv", "conv"]
    hidden, (_, first) = model.conv(x, EDGES, return_attention_weights=True)
    _, (_, second) = model.conv(hidden, EDGES, return_attention_weights=True)
    assert torch.equal(records[0].alpha, first)
    assert torch.equal(records[1].alpha, second)


def test_nested_contexts(case: tuple[nn.Module, tuple[Any, ...]]) -> None:
    model, args = case
    expected = run(model, *args)
    with record_attention(model) as outer:
        with record_attention(model) as inner:
            assert all(map(torch.equal, run(model, *args), expected))
        count = len(outer)
        run(model, *args)
    assert len(inner) == count > 0
    assert len(outer) == 2 * count
    for one, two, three in zip(inner, outer[:count], outer[count:], strict=True):
        assert torch.equal(one.alpha, two.alpha)
        assert torch.equal(one.alpha, three.alpha)
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("name", [*RETURNING, "AEROConv", "SuperGATConv", "HANConv"])
def test_hooks_see_what_they_see_otherwise(name: str) -> None:
    make, args = MODELS[name]
    conv, seen = make().eval(), []
    conv.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((len(args), *kwargs)), with_kwargs=True
    )
    conv.register_forward_hook(
        lambda _, args, kwargs, out: seen.append((len(args), *kwargs, flat(out).tolist())),
        with_kwargs=True,
    )
    conv.register_message_forward_hook(lambda _, inputs, out: seen.append(out.tolist()))
    if isinstance(args[0], Tensor):  # torch has such hooks for tensors only
        args = (args[0].clone().requires_grad_(), *args[1:])
        conv.register_full_backward_hook(lambda _, into, out: seen.append((len(into), len(out))))
    out = run(conv, *args)
    before, seen[:] = [*seen], []
    with record_attention(conv) as records:
        found = run(conv, *args)
    assert records
    assert seen == before
    assert all(map(torch.equal, found, out))


@pytest.mark.parametrize("name", RETURNING)
def test_who_asks_for_weights_gets_them(name: str) -> None:
    conv = RETURNING[name](WIDTH, 4, heads=HEADS)
    for asked in (True, False, None):
        plain = conv(features(), EDGES, return_attention_weights=asked)
        with record_attention(conv) as records:
            found = conv(features(), EDGES, return_attention_weights=asked)
        assert type(found) is type(plain)
        assert len(records) == 1
    x_dict, (make, _) = hetero_features(), MODELS["HANConv"]
    conv = make()
    with record_attention(conv):
        assert isinstance(conv(x_dict, RELATIONS, return_semantic_attention_weights=True), tuple)
        assert isinstance(conv(x_dict, RELATIONS), dict)


def test_gradients_flow_if_asked(case: tuple[nn.Module, tuple[Any, ...]]) -> None:
    model, args = case
    with record_attention(model, detach=False) as records:
        model(*args)
    for record in records:
        assert record.alpha.requires_grad
        loss = (record.alpha * torch.rand(record.alpha.shape)).sum()
        found = torch.autograd.grad(
            loss, list(model.parameters()), allow_unused=True, retain_graph=True
        )
        assert any(grad is not None for grad in found)


def test_copies_made_meanwhile_are_models_of_their_own() -> None:
    model, x = GAT(WIDTH, 8, 2, 3, heads=HEADS).eval(), features()
    with record_attention(model) as records, record_attention(model):
        twin = copy.deepcopy(model)
        buffer = io.BytesIO()
        torch.save(model, buffer)
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.zero_()
        assert (twin(x, EDGES) == 0).all()
        assert not records
        assert (model(x, EDGES) != 0).any()
    assert (twin(x, EDGES) == 0).all()
    assert len(records) == 2
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=False)
    assert torch.equal(loaded(x, EDGES), model(x, EDGES))
    for other in (twin, loaded):
        with record_attention(other) as others:
            other(x, EDGES)
        assert len(others) == 2
    assert len(records) == 2


def test_a_forward_of_the_user_s_own_stays() -> None:
    conv = ours.GATConv(WIDTH, 4)
    plain = conv.forward
    calls: list[str] = []

    def patched(*args: Any, **kwargs: Any) -> Any:
        calls.append("first")
        return plain(*args, **kwargs)

    conv.forward = patched  # type: ignore[method-assign]
    with record_attention(conv) as records:
        conv(features(), EDGES)
    assert conv.forward is patched
    assert (calls, len(records)) == (["first"], 1)
    # Put on top while recording: it stays, and what it calls is the layer again.
    with record_attention(conv) as records:
        inner = conv.forward

        def late(*args: Any, **kwargs: Any) -> Any:
            calls.append("second")
            return inner(*args, **kwargs)

        conv.forward = late  # type: ignore[method-assign]
        conv(features(), EDGES)
    assert conv.forward is late
    conv(features(), EDGES)
    assert calls[1:] == ["second", "first"] * 2
    assert len(records) == 1


def test_compiled_models_run_uncompiled() -> None:
    model, x = GAT(WIDTH, 8, 2, 3, heads=HEADS), features()
    expected = model(x, EDGES)
    compiled = torch.compile(model, backend="eager")
    compiled(x, EDGES)
    with record_attention(compiled) as records:
        found = compiled(x, EDGES)
    assert [record.name for record in records] == ["convs.0", "convs.1"]
    torch.testing.assert_close(found, expected)
    conv = torch.compile(ours.GATConv(WIDTH, 4), backend="eager")
    with record_attention(conv) as records:
        conv(x, EDGES)
    assert [record.name for record in records] == [""]
    model.compile(backend="eager")
    model(x, EDGES)
    with record_attention(model) as records:
        model(x, EDGES)
    assert len(records) == 2


def test_explainers_run_meanwhile() -> None:
    model = pyg.GAT(WIDTH, 8, 2, 3, heads=HEADS, add_self_loops=False).eval()
    explainer = Explainer(
        model,
        AttentionExplainer(),
        explanation_type="model",
        edge_mask_type="object",
        model_config={
            "mode": "multiclass_classification",
            "task_level": "node",
            "return_type": "raw",
        },
    )
    expected = explainer(features(), EDGES).edge_mask
    with record_attention(model) as records:
        found = explainer(features(), EDGES).edge_mask
    assert records
    torch.testing.assert_close(found, expected)


def test_records_are_frozen() -> None:
    record = AttentionRecord("conv", None, torch.ones(1, 1), "edge")
    with pytest.raises(AttributeError):
        record.name = "other"  # type: ignore[misc]


class Hiding(ours.GATConv):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x, edge_index)


class HandingOn(pyg.GATConv):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs)


class Dropping(ours.GATConv):
    def forward(self, x: Tensor, edge_index: Tensor, **_: Any) -> Tensor:  # type: ignore[override]
        return super().forward(x, edge_index)


class Narrow(nn.MultiheadAttention):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Any:  # type: ignore[override]
        return super().forward(query, key, value)


def test_subclasses() -> None:
    conv = HandingOn(WIDTH, 4)
    with record_attention(conv) as records:
        assert isinstance(conv(features(), EDGES), Tensor)
        assert isinstance(conv(features(), EDGES, return_attention_weights=True), tuple)
    assert len(records) == 2
    with pytest.raises(ValueError, match=r"layer '0' \(Hiding\) .* 'return_attention_weights'"):
        record_attention(nn.ModuleList([Hiding(WIDTH, 4)])).__enter__()
    conv = Dropping(WIDTH, 4)
    with record_attention(conv), pytest.raises(ValueError, match=r"must return a pair .* Tensor"):
        conv(features(), EDGES)
    with pytest.raises(ValueError, match=r"\(Narrow\) .* 'need_weights', 'average_attn_weights'"):
        record_attention(Narrow(WIDTH, HEADS)).__enter__()


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(TypeError, match=r"'model' must be a torch.nn.Module, got str"):
        record_attention("model").__enter__()  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(MLP\) has no attention layer .* HGTConv"):
        record_attention(MLP([WIDTH, 8, 3])).__enter__()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch: nested tensors are a prototype
        nested = torch.nested.nested_tensor([torch.randn(2, WIDTH), torch.randn(3, WIDTH)])
    attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).eval()
    with (
        pytest.raises(ValueError, match="must not be nested tensors"),
        record_attention(attention),
        torch.no_grad(),
    ):
        attention(nested, nested, nested)
