from __future__ import annotations

import io
import re
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch_geometric import EdgeIndex
from torch_geometric.utils import to_torch_coo_tensor, to_torch_csc_tensor, to_torch_csr_tensor

from graphattn.calibration import GATSScaler
from graphattn.calibration.calibrator import GradientCalibrator
from graphattn.ops import _native, use_implementation


class Setup(NamedTuple):
    logits: Tensor
    y: Tensor
    edge_index: Tensor
    train_mask: Tensor
    val_mask: Tensor

    def fit(self, scaler: GATSScaler, seed: int = 0) -> GATSScaler:
        torch.manual_seed(seed)
        masks = {"train_mask": self.train_mask, "val_mask": self.val_mask}
        return scaler.fit(self.logits, self.y, self.edge_index, **masks)

    @property
    def graph(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.logits, self.edge_index, self.train_mask


@pytest.fixture
def setup() -> Setup:
    """Not confident enough; directed, with loops and parallel edges; nodes 56 to 59 are alone."""
    torch.manual_seed(0)
    y = torch.randint(4, (60,))
    logits = torch.randn(60, 4)
    logits[torch.arange(60), y] += 2.5
    edges = torch.randint(56, (2, 150))
    edges = torch.cat([edges, edges[:, :9], torch.arange(7).expand(2, -1)], dim=1)
    place = torch.randperm(60)
    return Setup(logits / 4, y, edges, place < 10, place >= 30)


def drawn(published: bool = False, dtype: torch.dtype = torch.float64) -> GATSScaler:
    """All parameters away from where they start, and temperatures positive."""
    torch.manual_seed(1)
    scaler = GATSScaler(4, 3, published=published)
    with torch.no_grad():
        for one in scaler.parameters():
            one.add_(0.3 * torch.rand_like(one))
    return scaler.to(dtype)


def temperatures_by_loops(scaler: GATSScaler, setup: Setup) -> np.ndarray:
    """Node by node and edge by edge, as the specification says it."""
    z = setup.logits.double().numpy()
    n = len(z)
    pairs = [(int(j), int(i)) for j, i in setup.edge_index.t() if j != i]
    pairs += [(i, i) for i in range(n)]
    base, (gamma_train, gamma_near) = (one.detach().numpy() for one in scaler._positive())
    train = set(setup.train_mask.nonzero().flatten().tolist())
    near = {i for j, i in pairs if j in train} - train
    gamma = np.ones(n)
    gamma[sorted(near)], gamma[sorted(train)] = gamma_near, gamma_train
    c = (np.exp(z) / np.exp(z).sum(1, keepdims=True)).max(1)
    u = np.sort((z - z.min(1, keepdims=True)) / np.ptp(z, axis=1)[:, None], axis=1)
    tau = u @ scaler.weight.detach().numpy().T
    found = []
    for i in range(n):
        sources = [j for j, k in pairs if k == i]
        s = np.array([z[j] / gamma[j] @ (z[i] / gamma[i]) for j in sources])
        alpha = np.exp(np.where(s > 0, s, 0.2 * s))
        alpha /= alpha.sum()
        agreement = sum(a * gamma[j] * tau[j] for a, j in zip(alpha, sources, strict=True))
        more = sum(c[i] - c[j] for j in sources) / sum(j == i for j, _ in pairs)
        heads = np.log1p(np.exp(agreement + scaler.confidence_weight.item() * more))
        found.append(base.item() + heads.mean())
    return np.array(found)


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("implementation", ["reference", "cpu"])
def test_temperatures_are_those_of_the_specification(
    setup: Setup, published: bool, implementation: str
) -> None:
    if implementation == "cpu" and _native.why_missing() is not None:
        pytest.skip("the native library was not built")
    scaler, graph = drawn(published), (setup.logits.double(), *setup.graph[1:])
    with use_implementation(implementation):
        found = scaler.node_temperatures(*graph)
    right = torch.from_numpy(temperatures_by_loops(scaler, setup))
    torch.testing.assert_close(found, right, rtol=1e-12, atol=0)
    torch.testing.assert_close(scaler(*graph), graph[0] / right.unsqueeze(1))
    # Single precision loses digits, not more.
    single = drawn(published, torch.float32).node_temperatures(*setup.graph)
    torch.testing.assert_close(single, right.float(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("published", [False, True])
def test_a_fit_makes_probabilities_better_and_predictions_no_other(
    setup: Setup, published: bool
) -> None:
    scaler = setup.fit(GATSScaler(4, published=published, max_epochs=200))
    found = scaler(*setup.graph)
    for mask in (setup.val_mask, setup.train_mask):
        before = cross_entropy(setup.logits[mask], setup.y[mask])
        assert cross_entropy(found[mask], setup.y[mask]) < 0.9 * before
    assert torch.equal(found.argmax(dim=1), setup.logits.argmax(dim=1))
    assert GATSScaler.preserves_accuracy
    assert scaler.node_temperatures(*setup.graph).min() > 0


def test_two_fits_give_the_same_bits(setup: Setup) -> None:
    one, two = (setup.fit(GATSScaler(4, max_epochs=50)) for _ in range(2))
    other = setup.fit(GATSScaler(4, max_epochs=50), seed=1)
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])
    assert not torch.equal(one.weight, other.weight)
    # Anew, not from where the last one ended.
    again = setup.fit(one).state_dict()
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in again.items())


def test_a_fit_needs_no_edges_into_other_nodes(setup: Setup) -> None:
    setup = setup._replace(logits=setup.logits.double())
    short = {"max_epochs": 60, "patience": 5}
    fitted = setup.fit(GATSScaler(4, **short))
    torch.manual_seed(0)
    right = GATSScaler(4, **short).double()
    right.reset_parameters()
    torch.manual_seed(0)
    right.reset_parameters()
    prepared = right.prepare(*setup.graph)
    GradientCalibrator._fit(right, prepared, setup.y, setup.val_mask, setup.train_mask)
    torch.testing.assert_close(dict(fitted.state_dict()), dict(right.state_dict()))


def test_types_of_logits(setup: Setup) -> None:
    half = setup._replace(logits=setup.logits.half())
    assert half.fit(GATSScaler(4, max_epochs=5))(*half.graph).dtype == torch.float32
    double = setup._replace(logits=setup.logits.double())
    scaler = double.fit(GATSScaler(4, max_epochs=5))
    assert {one.dtype for one in scaler.parameters()} == {torch.float64}
    assert scaler(*double.graph).dtype == torch.float64
    assert scaler.node_temperatures(*double.graph).dtype == torch.float64
    # The type of a call is that of its logits.
    assert scaler(*setup.graph).dtype == torch.float32
    torch.testing.assert_close(scaler(*setup.graph), scaler(*double.graph).float())


def test_loops_of_the_input_say_nothing_and_parallel_edges_count(setup: Setup) -> None:
    scaler = drawn()
    logits, edges, train_mask = setup.graph
    right = scaler.node_temperatures(logits, edges, train_mask)
    without = edges[:, edges[0] != edges[1]]
    torch.testing.assert_close(scaler.node_temperatures(logits, without, train_mask), right)
    twice = torch.cat([edges, without[:, :1]], dim=1)
    found = scaler.node_temperatures(logits, twice, train_mask)
    # The destination has other weights, the source another number of edges that leave it.
    assert (found != right).nonzero().flatten().tolist() == sorted(without[:, 0].tolist())


def test_all_forms_of_a_graph(setup: Setup) -> None:
    scaler, edges = drawn(), setup.edge_index.unique(dim=1).contiguous()
    right = scaler(setup.logits, edges, setup.train_mask)
    transposed = edges.flip(0)
    forms = [
        EdgeIndex(edges, sparse_size=(60, 60)),
        edges.int(),
        *(
            make(transposed, size=(60, 60))
            for make in (to_torch_coo_tensor, to_torch_csr_tensor, to_torch_csc_tensor)
        ),
    ]
    for form in forms:
        torch.testing.assert_close(scaler(setup.logits, form, setup.train_mask), right)


def test_rows_of_equal_logits(setup: Setup) -> None:
    logits = setup.logits.clone()
    logits[:20] = 0.7
    odd = setup._replace(logits=logits)
    for published in (False, True):
        scaler = odd.fit(GATSScaler(4, published=published, max_epochs=20))
        assert scaler(*odd.graph).isfinite().all()
    same = setup._replace(logits=torch.full((60, 4), -1.0))
    assert same.fit(GATSScaler(4, max_epochs=20))(*same.graph).isfinite().all()


def test_another_graph_at_a_call(setup: Setup) -> None:
    scaler = drawn()
    right = scaler(*setup.graph)
    # Nodes 56 to 59 have no edges: alone they are the same.
    logits, train_mask = setup.logits[56:], setup.train_mask[56:]
    none = torch.empty(2, 0, dtype=torch.long)
    torch.testing.assert_close(scaler(logits, none, train_mask), right[56:])
    assert scaler(logits[:0], none, train_mask[:0]).shape == (0, 4)
    nobody = torch.zeros(60, dtype=torch.bool)
    assert not torch.allclose(scaler(setup.logits, setup.edge_index, nobody), right)


@pytest.mark.filterwarnings("ignore:Input #:UserWarning")
def test_gradients_of_logits(setup: Setup) -> None:
    scaler = drawn()
    logits, small = setup.logits[:12].double().requires_grad_(), setup.edge_index[:, :40] % 12

    def run(logits: Tensor) -> Tensor:
        return scaler(logits, small, setup.train_mask[:12])

    assert torch.autograd.gradcheck(run, (logits,))


def test_a_fit_does_not_go_back_into_the_classifier(setup: Setup) -> None:
    scale = torch.ones((), requires_grad=True)
    setup._replace(logits=setup.logits * scale).fit(GATSScaler(4, max_epochs=3))
    assert scale.grad is None


def test_only_the_published_form_can_leave_the_positive_numbers(setup: Setup) -> None:
    scaler = drawn(published=True)
    with torch.no_grad():
        scaler.temperature.fill_(-9)
    warned = pytest.warns(RuntimeWarning, match=r"60 temperature\(s\) are not positive, the smal")
    with warned:
        found = scaler(*setup.graph)
    assert not torch.equal(found.argmax(dim=1), setup.logits.argmax(dim=1))
    scaler = drawn()
    with torch.no_grad():
        scaler.log_temperature.fill_(-9)
        scaler.log_gamma.fill_(-3)
    assert scaler.node_temperatures(*setup.graph).min() > 0


def test_saves_and_loads(setup: Setup) -> None:
    scaler, file = setup.fit(GATSScaler(4, max_epochs=5)), io.BytesIO()
    torch.save(scaler.state_dict(), file)
    file.seek(0)
    twin = GATSScaler(4)
    twin.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(twin(*setup.graph), scaler(*setup.graph))
    names = {"weight", "confidence_weight"}
    assert set(scaler.state_dict()) == names | {"log_temperature", "log_gamma"}
    assert set(GATSScaler(4, published=True).state_dict()) == names | {"temperature", "gamma"}
    with pytest.raises(RuntimeError, match="log_temperature"):
        GATSScaler(4, published=True).load_state_dict(scaler.state_dict())
    # H * C + 4, as the authors'.
    assert sum(one.numel() for one in GATSScaler(7).parameters()) == 60


def test_starts_where_it_is_told() -> None:
    for published in (False, True):
        temperature, gamma = GATSScaler(5, initial_temperature=1.5, published=published)._positive()
        assert temperature.item() == pytest.approx(1.5)
        assert gamma.tolist() == [1, 1]
    assert repr(GATSScaler(5)) == "GATSScaler(5, heads=8)"
    assert repr(GATSScaler(5, 2, published=True)) == "GATSScaler(5, heads=2, published=True)"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"num_classes": 1}, "'num_classes' must be at least 2, got 1"),
        ({"heads": 0}, "'heads' must be at least 1, got 0"),
        ({"initial_temperature": 0.0}, "'initial_temperature' must be finite and above 0, got 0.0"),
        ({"weight_decay": -1.0}, "'weight_decay' must be finite and 0 or more, got -1.0"),
    ],
)
def test_bad_settings(arguments: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        GATSScaler(**{"num_classes": 4, **arguments})


def test_bad_input(setup: Setup) -> None:
    scaler = GATSScaler(4)
    logits, edges, train_mask = setup.graph
    for arguments, kind, said in (
        ((logits[:, :3], edges, train_mask), ValueError, "'logits' must have 4 columns"),
        ((logits, None, train_mask), ValueError, "'edge_index' must be given to a GATSScaler"),
        ((logits, edges), ValueError, "'train_mask' must be given to a GATSScaler"),
        ((logits, edges, train_mask.long()), TypeError, "'train_mask' must be a tensor of bool"),
        (
            (logits, edges, train_mask[1:]),
            ValueError,
            "'train_mask' must have shape [60], got [59]",
        ),
        ((logits, edges + 9, train_mask), ValueError, "must lie in [0, 60)"),
        ((logits, edges.float(), train_mask), TypeError, "'edge_index' must be int32 or int64"),
        ((logits, edges.t(), train_mask), ValueError, "'edge_index' must have shape [2, E]"),
        ((logits.softmax(1), edges, train_mask), ValueError, "'logits' look like probabilities"),
    ):
        with pytest.raises(kind, match=re.escape(said)):
            scaler(*arguments)
