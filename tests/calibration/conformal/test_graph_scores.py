from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphattn.calibration.conformal import DAPS, SNAPS, THR, knn_graph

LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
# Node 5 is alone, 0 -> 1 counts twice, 2 has a self-loop, 4 no edge that leaves it.
EDGES = torch.tensor([[0, 0, 0, 1, 2, 2, 3], [1, 1, 2, 0, 2, 3, 4]])
KNN = (torch.tensor([[0, 0, 1, 2, 3, 4], [3, 4, 5, 0, 0, 0]]), torch.tensor([1, 3, 2, 1, 1, 1.0]))


def mean(edges: Tensor, weight: Tensor, scores: Tensor, *, alone: str) -> Tensor:
    """Mean over targets with a dense matrix."""
    matrix = torch.zeros(6, 6, dtype=torch.float64)
    for src, dst, w in zip(*edges.tolist(), weight.tolist(), strict=True):
        matrix[src, dst] += w
    if alone == "own":
        matrix += torch.diag((matrix.sum(dim=1) == 0).double())
    return matrix @ scores / matrix.sum(dim=1, keepdim=True).clamp(min=1e-9)


@pytest.mark.parametrize("alone", ["own", "zero"])
def test_definition(alone: str) -> None:
    own = THR()(LOGITS)
    near = mean(EDGES, torch.ones(7), own, alone=alone)
    similar = mean(*KNN, own, alone=alone)
    found = DAPS(THR(), weight=0.3, alone=alone)(LOGITS, edge_index=EDGES)
    torch.testing.assert_close(found, 0.7 * own + 0.3 * near)
    found = SNAPS(THR(), xi=0.2, mu=0.3, alone=alone)(LOGITS, edge_index=EDGES, knn=KNN)
    torch.testing.assert_close(found, 0.5 * own + 0.2 * similar + 0.3 * near)


def test_lonely_nodes_keep_their_score() -> None:
    own = THR()(LOGITS)
    assert torch.equal(DAPS(THR())(LOGITS, edge_index=EDGES[:, :0]), own)
    empty = (KNN[0][:, :0], KNN[1][:0])
    found = SNAPS(THR())(LOGITS, edge_index=EDGES[:, :0], knn=empty)
    torch.testing.assert_close(found, own)


def test_sparse_matrix() -> None:
    matrix = torch.sparse_coo_tensor(EDGES.flip(0), torch.ones(7), (6, 6)).coalesce()
    found = DAPS(THR())(LOGITS, edge_index=matrix)
    torch.testing.assert_close(found, DAPS(THR())(LOGITS, edge_index=EDGES[:, 1:]))


def test_defaults_are_random_aps() -> None:
    u = torch.rand(6, generator=torch.Generator().manual_seed(1))
    found = SNAPS()(LOGITS, u, EDGES, knn=knn_graph(torch.rand(6, 4), 2))
    assert found.shape == (6, 3)
    assert SNAPS().draws
    assert not SNAPS(THR()).draws


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"'edge_index' must be given to DAPS\(.*, got None"):
        DAPS(THR())(LOGITS)
    with pytest.raises(ValueError, match=r"'knn' must be given to SNAPS\(.*, got None"):
        SNAPS(THR())(LOGITS, edge_index=EDGES)
    with pytest.raises(ValueError, match=r"'edge_index' must lie in \[0, 6\).* got 0 to 6"):
        DAPS(THR())(LOGITS, edge_index=torch.tensor([[0], [6]]))
    with pytest.raises(ValueError, match=r"weights of 'knn' must have shape \[6\], got \[5\]"):
        SNAPS(THR())(LOGITS, edge_index=EDGES, knn=(KNN[0], KNN[1][:5]))
    with pytest.raises(ValueError, match="weights of 'knn' must be finite and 0 or more, got -3"):
        SNAPS(THR())(LOGITS, edge_index=EDGES, knn=(KNN[0], -KNN[1]))
    with pytest.raises(TypeError, match="'knn' must be a pair of edges and weights, got Tensor"):
        SNAPS(THR())(LOGITS, edge_index=EDGES, knn=KNN[0])
    with pytest.raises(TypeError, match=r"'base' must be a score of single nodes, got 0\.5"):
        DAPS(0.5)
    with pytest.raises(TypeError, match=r"'base' must be a score of single nodes, got DAPS\("):
        SNAPS(DAPS())
    with pytest.raises(ValueError, match=r"'weight' must lie in \[0, 1\], got 2"):
        DAPS(weight=2)
    with pytest.raises(ValueError, match=r"'xi' and 'mu' must sum up to at most 1, got 0\.6"):
        SNAPS(xi=0.6, mu=0.5)
    with pytest.raises(ValueError, match="'alone' must be one of 'own', 'zero', got 'none'"):
        DAPS(alone="none")
