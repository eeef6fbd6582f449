from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from graphattn.calibration import GETSScaler

NODES = 30
TRAIN = torch.arange(NODES) % 2 == 1


def case() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits that know nothing, features that know the class, classes, and a ring of nodes."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(3, (NODES,), generator=generator)
    x = torch.eye(3)[y] + 0.1 * torch.randn(NODES, 3, generator=generator)
    nodes = torch.arange(NODES)
    return torch.randn(NODES, 3, generator=generator), x, y, torch.stack([nodes, nodes.roll(1)])


def test_one_expert_for_every_subset() -> None:
    logits, x, _, edges = case()
    scaler = GETSScaler(3, features=x)
    subsets = [expert.subset for expert in scaler.experts]
    assert len(set(subsets)) == len(subsets) == 7
    assert len(GETSScaler(3).experts) == 3
    out = scaler(logits, edges, TRAIN)
    inputs = scaler.prepare(logits, edges, None)
    scaler.eval()
    gates, _ = scaler.gates(torch.cat([logits, scaler.lin(x)], dim=1))
    # At the start two experts count the same.
    assert (gates == 0.5).sum(dim=1).tolist() == [2] * NODES
    parts = torch.stack([expert(inputs, x) for expert in scaler.experts], dim=1)
    mixed = (gates.unsqueeze(2) * parts).sum(dim=1)
    torch.testing.assert_close(out, logits * mixed.exp().log1p())


def test_learns_and_leaves_nothing_behind() -> None:
    logits, x, y, edges = case()
    torch.manual_seed(0)
    scaler = GETSScaler(3, features=x, lr=0.02, max_epochs=60)
    before = torch.nn.functional.cross_entropy(logits[~TRAIN], y[~TRAIN])
    scaler.fit(logits, y, edges, val_mask=~TRAIN, train_mask=TRAIN)
    out = scaler(logits, edges, TRAIN)
    assert torch.nn.functional.cross_entropy(out[~TRAIN], y[~TRAIN]) < before
    assert scaler.penalty() == 0.0
    copied = copy.deepcopy(scaler)
    assert torch.equal(copied(logits, edges, TRAIN), out)
    assert "features" not in scaler.state_dict()


def test_embeddings_of_degrees() -> None:
    logits, x, y, edges = case()
    for published in (False, True):
        scaler = GETSScaler(3, features=x, published=published, max_epochs=3, max_degree=4)
        torch.manual_seed(0)
        scaler.reset_parameters()
        start = [
            e.embedding.weight.detach().clone() for e in scaler.experts if "degree" in e.subset
        ]
        assert all(each.shape == (5, 16) for each in start)
        torch.manual_seed(0)
        scaler.fit(logits, y, edges, val_mask=~TRAIN, train_mask=TRAIN)
        end = [e.embedding.weight for e in scaler.experts if "degree" in e.subset]
        same = [torch.equal(*pair) for pair in zip(start, end, strict=True)]
        assert all(same) if published else not any(same)
    # Two edges at every node; those of a star's centre share the last embedding.
    assert scaler.prepare(logits, edges, None).degree.tolist() == [2] * NODES
    star = torch.stack([torch.arange(1, NODES), torch.zeros(NODES - 1, dtype=torch.long)])
    assert scaler.prepare(logits, star, None).degree.tolist() == [4] + [1] * (NODES - 1)


def test_features_that_do_not_fit() -> None:
    logits, x, _, edges = case()
    with pytest.raises(ValueError, match="'features' must have 30 rows as 'logits', got 29"):
        GETSScaler(3, features=x[1:])(logits, edges, TRAIN)
    with pytest.raises(TypeError, match="'features' must be a floating-point tensor, got ndarray"):
        GETSScaler(3, features=x.numpy())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'features' must be dense of shape \[N, F\]"):
        GETSScaler(3, features=x[0])
    with pytest.raises(ValueError, match="'features' must be finite, row 2 is not"):
        GETSScaler(3, features=x.where(torch.arange(NODES)[:, None] != 2, torch.nan))
    with pytest.raises(ValueError, match="'top_k' must be at most 3, got 4"):
        GETSScaler(3, top_k=4)


def test_another_graph() -> None:
    logits, x, _, edges = case()
    scaler = GETSScaler(3, features=x)
    expected = scaler(logits, edges, TRAIN)
    scaler.features = x[:9]
    ring = torch.stack([torch.arange(9), torch.arange(9).roll(1)])
    assert scaler(logits[:9], ring, TRAIN[:9]).shape == (9, 3)
    assert expected.shape == (NODES, 3)
