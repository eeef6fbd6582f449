from __future__ import annotations

import pytest
import torch

from graphattn.calibration.conformal._checks import (
    check_alpha,
    check_edges,
    check_fit,
    check_labels,
    check_sets,
)

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 2.0], [1.0, 0.5]])
Y = torch.tensor([0, 1, 0])
MASK = torch.tensor([True, True, False])


@pytest.mark.parametrize("alpha", [0, 1, 1.5, -0.1, float("nan")])
def test_alpha_out_of_range(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"'alpha'.* must lie between 0 and 1, got"):
        check_alpha(alpha)


@pytest.mark.parametrize("alpha", ["0.1", None, True])
def test_alpha_of_another_type(alpha: object) -> None:
    with pytest.raises(TypeError, match="'alpha' must be a number, got"):
        check_alpha(alpha)


def test_masks() -> None:
    with pytest.raises(TypeError, match=r"'cal_mask' must be a tensor of bool, got torch.int64"):
        check_fit(LOGITS, Y, torch.tensor([0, 1, 1]), None)
    with pytest.raises(TypeError, match="'cal_mask' must be a tensor of bool, got list"):
        check_fit(LOGITS, Y, [True, False, True], None)
    with pytest.raises(ValueError, match=r"'cal_mask' must have shape \[3\], got \[2\]"):
        check_fit(LOGITS, Y, MASK[:2], None)
    with pytest.raises(ValueError, match="'cal_mask' must have at least one node, got none"):
        check_fit(LOGITS, Y, ~torch.ones(3, dtype=torch.bool), None)
    with pytest.raises(ValueError, match="'cal_mask' and 'seen_mask' must not overlap, got 2 node"):
        check_fit(LOGITS, Y, MASK, MASK)
    assert check_fit(LOGITS, Y, MASK, ~MASK) is LOGITS


def test_labels() -> None:
    with pytest.raises(ValueError, match=r"'y' must lie in \[0, 2\) on 'cal_mask', got 2"):
        check_labels(Y + 1, 3, 2, cal_mask=MASK)
    # Nobody knows the label of a node outside all masks.
    check_labels(torch.tensor([0, 1, -1]), 3, 2, cal_mask=MASK)
    with pytest.raises(TypeError, match=r"'y' must be a tensor of integers, got torch.float32"):
        check_labels(Y.float(), 3, 2, cal_mask=MASK)
    with pytest.raises(ValueError, match=r"'y' must have shape \[3\], got \[3, 1\]"):
        check_labels(Y[:, None], 3, 2, cal_mask=MASK)


def test_sets() -> None:
    sets = torch.ones(3, 2, dtype=torch.bool)
    check_sets(sets, Y)
    with pytest.raises(TypeError, match=r"'sets' must be a tensor of bool, got torch.int8"):
        check_sets(sets.to(torch.int8), Y)
    with pytest.raises(ValueError, match=r"'sets' must have shape \[M, C\] .* got \[0, 2\]"):
        check_sets(sets[:0], Y[:0])
    with pytest.raises(ValueError, match=r"'y' must lie in \[0, 2\) on 'sets', got 2"):
        check_sets(sets, Y + 1)


def test_edges() -> None:
    edges = torch.tensor([[0, 1], [1, 2]])
    assert check_edges(edges, 3) is edges
    matrix = torch.sparse_coo_tensor(edges.flip(0), torch.ones(2), (3, 3)).coalesce()
    assert torch.equal(check_edges(matrix, 3), edges)
    assert check_edges(edges[:, :0], 0).shape == (2, 0)
    with pytest.raises(ValueError, match=r"'edge_index' must lie in \[0, 2\).* got 0 to 2"):
        check_edges(edges, 2)
    with pytest.raises(ValueError, match=r"'edge_index' must hold integers of shape \[2, E\]"):
        check_edges(edges.float(), 3)
    with pytest.raises(ValueError, match="'edge_index' must be given, got None"):
        check_edges(None, 3)
