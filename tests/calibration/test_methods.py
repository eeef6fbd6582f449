from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from graphattn.calibration import CALIBRATORS, Calibrator, make_calibrator

NODES, CLASSES = 60, 4
NAMES = sorted(CALIBRATORS)
# Their results are more exact than their input.
EXACT = {"isotonic"}


class Case:
    """Logits that are sharper than they should be, a graph with two isolated nodes, and masks."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        generator = torch.Generator().manual_seed(1)
        self.y = torch.randint(CLASSES, (NODES,), generator=generator)
        noise = torch.randn(NODES, CLASSES, generator=generator, dtype=torch.float64)
        logits = 4 * (noise + torch.eye(CLASSES, dtype=torch.float64)[self.y])
        self.logits = logits.to(dtype)
        ends = torch.randint(NODES - 2, (2, 200), generator=generator)
        self.edge_index = torch.cat([ends, ends.flip(0)], dim=1)
        self.val_mask = torch.arange(NODES) % 2 == 0
        self.train_mask = torch.arange(NODES) % 4 == 1

    def fit(self, scaler: Calibrator) -> Calibrator:
        torch.manual_seed(0)
        return scaler.fit(
            self.logits,
            self.y,
            self.edge_index,
            val_mask=self.val_mask,
            train_mask=self.train_mask,
        )

    def __call__(self, scaler: Calibrator) -> Tensor:
        with torch.no_grad():
            return scaler(self.logits, self.edge_index, self.train_mask)


def made(name: str) -> Calibrator:
    """A calibrator whose fit is short."""
    kind = CALIBRATORS[name]
    options = {} if name in ("isotonic", "spline") else {"max_epochs": 30, "lr": 0.05}
    scaler = make_calibrator(name, CLASSES, **options)
    assert type(scaler) is kind
    return scaler


@pytest.mark.parametrize("name", NAMES)
def test_fits_and_keeps_its_promise(name: str) -> None:
    case = Case()
    scaler = case.fit(made(name))
    out = case(scaler)
    assert out.shape == case.logits.shape
    assert out.dtype == (torch.float64 if name in EXACT else torch.float32)
    assert bool(torch.isfinite(out).all())
    if scaler.preserves_accuracy:
        assert torch.equal(out.argmax(dim=1), case.logits.argmax(dim=1))
    before = cross_entropy(case.logits[case.val_mask], case.y[case.val_mask])
    assert cross_entropy(out[case.val_mask], case.y[case.val_mask]) < before


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    case = Case()
    scaler = case.fit(made(name))
    first, again = case(scaler), case(scaler)
    assert torch.equal(first, again)
    # Nothing is left of an earlier fit, or of draws in between.
    torch.rand(5)
    assert torch.equal(first, case(case.fit(scaler)))
    assert torch.equal(first, case(case.fit(made(name))))


@pytest.mark.parametrize("name", NAMES)
def test_state_dict(name: str, tmp_path: Path) -> None:
    case = Case()
    scaler = case.fit(made(name))
    torch.save(scaler.state_dict(), tmp_path / "state.pt")
    other = made(name)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(case(scaler), case(other))
    assert torch.equal(case(scaler), case(copy.deepcopy(scaler)))
    assert all(isinstance(value, Tensor) for value in scaler.state_dict().values())


@pytest.mark.parametrize("name", NAMES)
def test_precisions(name: str) -> None:
    double = Case(torch.float64)
    scaler = double.fit(made(name))
    assert all(parameter.dtype == torch.float64 for parameter in scaler.parameters())
    assert case_dtype(double, scaler) == torch.float64
    half = Case(torch.float16)
    fitted = half.fit(made(name))
    assert all(parameter.dtype == torch.float32 for parameter in fitted.parameters())
    out = half(fitted)
    assert out.dtype == (torch.float64 if name in EXACT else torch.float32)
    assert bool(torch.isfinite(out).all())
    # A calibrator takes what another precision than that of its fit gives.
    mixed = Case(torch.float32)(scaler)
    expected = double(scaler)
    torch.testing.assert_close(mixed.double(), expected, rtol=1e-4, atol=1e-4)


def case_dtype(case: Case, scaler: Calibrator) -> torch.dtype:
    return case(scaler).dtype


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_all_logits_equal(name: str, value: float) -> None:
    case = Case()
    case.logits = torch.full((NODES, CLASSES), value)
    scaler = case.fit(made(name))
    out = case(scaler)
    assert bool(torch.isfinite(out).all())
    if scaler.preserves_accuracy:
        probs = out.softmax(dim=1)
        torch.testing.assert_close(probs, torch.full_like(probs, 1 / CLASSES))


@pytest.mark.parametrize("name", NAMES)
def test_without_training_nodes_and_edges(name: str) -> None:
    case = Case()
    case.edge_index = torch.empty(2, 0, dtype=torch.long)
    assert bool(torch.isfinite(case(case.fit(made(name)))).all())
    if not CALIBRATORS[name].needs_graph:
        scaler = made(name).fit(case.logits, case.y, val_mask=case.val_mask)
        assert bool(torch.isfinite(scaler(case.logits)).all())


@pytest.mark.parametrize("name", NAMES)
def test_one_validation_node_and_a_class_that_is_missing(name: str) -> None:
    case = Case()
    case.val_mask = case.y == 2
    case.train_mask &= ~case.val_mask
    assert bool(torch.isfinite(case(case.fit(made(name)))).all())
    case.val_mask = torch.arange(NODES) == 0
    assert bool(torch.isfinite(case(case.fit(made(name)))).all())


@pytest.mark.parametrize("factor", [1e2, 1e4])
@pytest.mark.parametrize("name", NAMES)
def test_logits_out_of_all_proportion(name: str, factor: float) -> None:
    case = Case()
    case.logits = case.logits * factor
    scaler = case.fit(made(name))
    out = case(scaler)
    assert not bool(out.isnan().any())
    # Weights of gaps that a network makes of such logits can underflow; its docstring says so.
    if scaler.preserves_accuracy and name != "order_invariant":
        assert torch.equal(out.argmax(dim=1), case.logits.argmax(dim=1))


@pytest.mark.parametrize("name", NAMES)
def test_other_numbers_of_classes_are_refused(name: str) -> None:
    case = Case()
    scaler = made(name)
    if hasattr(scaler, "num_classes"):
        case.logits = torch.randn(NODES, CLASSES + 1)
        with pytest.raises(ValueError, match=r"'logits' must have 4 columns.*got 5"):
            case.fit(scaler)


@pytest.mark.parametrize("name", [name for name in NAMES if CALIBRATORS[name].needs_graph])
def test_graphs_that_are_none(name: str) -> None:
    case = Case()
    scaler = case.fit(made(name))
    with pytest.raises(ValueError, match="'edge_index' must be given"):
        scaler(case.logits, None, case.train_mask)
    with pytest.raises(ValueError, match="must lie in"):
        scaler(case.logits, torch.tensor([[0], [NODES]]), case.train_mask)
    with pytest.raises(ValueError, match=r"'edge_index' must have shape \[2, E\]"):
        scaler(case.logits, torch.tensor([0, 1]), case.train_mask)


@pytest.mark.parametrize("name", [name for name in NAMES if CALIBRATORS[name].needs_graph])
def test_forms_of_a_graph(name: str) -> None:
    case = Case()
    case.edge_index = torch.unique(case.edge_index, dim=1)
    scaler = case.fit(made(name))
    expected = case(scaler)
    src, dst = case.edge_index
    ones = torch.ones(len(src))
    matrix = torch.sparse_coo_tensor(torch.stack([dst, src]), ones, (NODES, NODES)).coalesce()
    for graph in (case.edge_index.int(), matrix.to_sparse_csr()):
        with torch.no_grad():
            out = scaler(case.logits, graph, case.train_mask)
        torch.testing.assert_close(out, expected)


def test_names() -> None:
    with pytest.raises(ValueError, match="unknown calibrator 'vectr'; did you mean 'vector'"):
        make_calibrator("vectr", 3)
    with pytest.raises(TypeError, match="WATSScaler has no setting 'heads'"):
        make_calibrator("wats", 3, heads=2)
    assert make_calibrator("temperature", 3).preserves_accuracy
    assert getattr(make_calibrator("vector", 3, published=True), "published", False)
