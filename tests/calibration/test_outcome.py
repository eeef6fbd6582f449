from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.utils import to_torch_csr_tensor

from graphattn.calibration.outcome import (
    chosen_nodes,
    distributions,
    edge_list,
    outcome_of,
    outcome_of_logits,
)

P = torch.tensor([[0.7, 0.3], [0.4, 0.6], [0.5, 0.5]], dtype=torch.float64)
Y = torch.tensor([0, 0, 1])


def test_outcome_of_probabilities() -> None:
    outcome = outcome_of(P, Y, torch.tensor([True, False, True]))
    assert outcome.confidence.tolist() == [0.7, 0.5]
    assert outcome.correct.tolist() == [1.0, 0.0]
    assert outcome.nodes.tolist() == [0, 2]
    np.testing.assert_allclose(outcome.log_true, np.log([0.7, 0.5]))


def test_logits_and_their_softmax_are_the_same() -> None:
    logits = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.arange(20) % 4
    one, other = outcome_of_logits(logits, y, None), outcome_of(logits.softmax(1), y, None)
    for name in ("probabilities", "y", "log_true", "confidence", "correct", "nodes"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=1e-14)


def test_logits_of_impossible_classes_have_a_finite_likelihood() -> None:
    outcome = outcome_of_logits(torch.tensor([[0.0, -900.0]]), torch.tensor([1]), None)
    assert outcome.log_true[0] == -900


def test_take_repeats_nodes() -> None:
    outcome = outcome_of(P, Y, None).take(np.array([2, 2, 0]))
    assert outcome.nodes.tolist() == [2, 2, 0]
    assert outcome.confidence.tolist() == [0.5, 0.5, 0.7]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rounded_probabilities_are_taken(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    rounded = torch.randn(200, 40, generator=generator).softmax(1).to(dtype)
    assert outcome_of(rounded, torch.zeros(200).long(), None).probabilities.dtype == np.float64


def test_nodes_outside_the_mask_may_be_anything() -> None:
    p, y = P.clone(), Y.clone()
    p[1], y[1] = torch.nan, -1
    mask = torch.tensor([True, False, True])
    assert outcome_of(p, y, mask).correct.tolist() == [1.0, 0.0]
    assert len(outcome_of_logits(p * 2, y, mask).y) == 2


@pytest.mark.parametrize(
    ("p", "y", "mask", "error", "text"),
    [
        (
            P * 3,
            Y,
            None,
            ValueError,
            r"'probabilities' must .*the softmax of the logits.* in row 0",
        ),
        (P - 1, Y, None, ValueError, r"'probabilities' must be non-negative"),
        (P * torch.nan, Y, None, ValueError, r"'probabilities' must .*nan"),
        (P[:, :1], Y, None, ValueError, r"'probabilities' must .* two classes, got \[3, 1\]"),
        (P[0], Y, None, ValueError, r"'probabilities' must have shape"),
        (
            Y,
            Y,
            None,
            TypeError,
            r"'probabilities' must be a floating-point tensor, got torch.int64",
        ),
        ([0.5], Y, None, TypeError, r"'probabilities' must be a floating-point tensor, got list"),
        (P[:0], Y[:0], None, ValueError, r"at least one node"),
        (P, Y[:2], None, ValueError, r"'y' must hold classes, integers of shape \[3\], got \[2\]"),
        (P, Y.float(), None, ValueError, r"'y' must hold classes.* torch.float32"),
        (P, Y + 1, None, ValueError, r"'y' must lie in \[0, 2\) where it is measured, got 2"),
        (P, Y - 1, None, ValueError, r"'y' must lie in .* got -1"),
        (P, Y, Y, TypeError, r"'mask' must be a tensor of bool, got torch.int64"),
        (P, Y, [True], TypeError, r"'mask' must be a tensor of bool, got list"),
        (P, Y, Y[:2] > 0, ValueError, r"'mask' must have shape \[3\], got \[2\]"),
        (P, Y, Y > 9, ValueError, r"'mask' must have at least one node, got none"),
    ],
)
def test_bad_input(p: Tensor, y: Tensor, mask: Tensor, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        outcome_of(p, y, mask)


@pytest.mark.parametrize(
    ("logits", "text"),
    [
        (P, "'logits' look like probabilities"),
        (P.log() * torch.inf, "'logits' must be finite"),
        (P[:, :1].log(), "two classes"),
    ],
)
def test_bad_logits(logits: Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        outcome_of_logits(logits, Y, None)


def test_chosen_nodes_names_its_mask() -> None:
    assert chosen_nodes(None, 3).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="'train_mask' must have at least one node"):
        chosen_nodes(torch.zeros(3).bool(), 3, "train_mask")


def test_distributions_of_some_nodes() -> None:
    assert distributions(P.float(), torch.tensor([1])).dtype == torch.float64


def test_every_form_of_edges() -> None:
    edges = torch.tensor([[0, 1], [1, 2]])
    forms = (
        edges,
        edges.int(),
        EdgeIndex(edges, sparse_size=(3, 3)),
        to_torch_csr_tensor(edges.flip(0), size=(3, 3)),
    )
    for form in forms:
        assert edge_list(form, 3).tolist() == edges.tolist()


@pytest.mark.parametrize(
    ("edges", "error", "text"),
    [
        (torch.tensor([[0, 1], [1, 3]]), ValueError, "3"),
        (torch.tensor([0, 1]), ValueError, r"shape \[2, E\]"),
        (torch.tensor([[0.0], [1.0]]), TypeError, "int32 or int64"),
        ("path", TypeError, "'edge_index' must be"),
    ],
)
def test_bad_edges(edges: Tensor, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        edge_list(edges, 3)
