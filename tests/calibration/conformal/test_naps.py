from __future__ import annotations

import math

import networkx as nx
import pytest
import torch
from torch import Tensor
from torch_geometric.utils import erdos_renyi_graph

from graphattn.calibration.conformal import APS, DAPS, NAPS, THR, conformal_threshold

NUM_NODES = 60
WEIGHTS = {
    "uniform": lambda distance: 1,
    "linear": lambda distance: 1 / distance,
    "geometric": lambda distance: 2.0 ** (1 - distance),
}


@pytest.fixture
def graph() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    edges = erdos_renyi_graph(NUM_NODES - 1, 0.06, directed=True)
    edges = torch.cat([edges, torch.tensor([[3, 3, 4], [3, 5, 5]]), edges[:, :5]], dim=1)
    logits, y = torch.randn(NUM_NODES, 3), torch.randint(0, 3, (NUM_NODES,))
    return logits, y, edges, torch.rand(NUM_NODES) < 0.5


def by_search(
    scores: Tensor, edges: Tensor, labelled: Tensor, hops: int, weighting: str, alpha: float
) -> list[float]:
    """Thresholds by a search from every node, and the definition of the quantile."""
    network = nx.Graph(edges.t().tolist())
    network.add_nodes_from(range(NUM_NODES))
    found = []
    for node in range(NUM_NODES):
        distances = nx.single_source_shortest_path_length(network, node, cutoff=hops)
        pairs = sorted(
            (float(scores[other]), WEIGHTS[weighting](distance))
            for other, distance in distances.items()
            if distance and labelled[other]
        )
        bound = (1 - alpha) * (1 + sum(weight for _, weight in pairs))
        reached, threshold = 0.0, math.inf
        for score, weight in pairs:
            reached += weight
            if reached >= bound - 1e-9:
                threshold = score
                break
        found.append(threshold)
    return found


@pytest.mark.parametrize("weighting", list(WEIGHTS))
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_definition(graph: tuple[Tensor, ...], hops: int, weighting: str) -> None:
    logits, y, edges, labelled = graph
    predictor = NAPS(THR(), alpha=0.25, hops=hops, weighting=weighting, cutoff=0)
    predictor.fit(logits, y, cal_mask=labelled)
    scores = THR()(logits)[torch.arange(NUM_NODES), y]
    expected = by_search(scores, edges, labelled, hops, weighting, 0.25)
    assert predictor.thresholds(edges, num_nodes=NUM_NODES).tolist() == expected
    assert predictor(logits, edges)[-1].all()  # alone, so that its threshold is infinite


def test_a_complete_graph_is_split_conformal(graph: tuple[Tensor, ...]) -> None:
    logits, y, _, labelled = graph
    everyone = torch.ones(NUM_NODES, NUM_NODES).nonzero().T
    found = NAPS(THR(), cutoff=1).fit(logits, y, cal_mask=labelled)
    scores = THR()(logits)[torch.arange(NUM_NODES), y]
    expected = conformal_threshold(scores[labelled], 0.1)
    assert (found.thresholds(everyone, num_nodes=NUM_NODES)[~labelled] == expected).all()


def test_few_labelled_nodes_leave_no_set(graph: tuple[Tensor, ...]) -> None:
    logits, y, edges, labelled = graph
    predictor = NAPS(cutoff=10, alpha=0.2).fit(logits, y, cal_mask=labelled)
    thresholds = predictor.thresholds(edges, num_nodes=NUM_NODES)
    without = thresholds.isnan()
    assert 0 < int(without.sum()) < NUM_NODES
    sets = predictor(logits, edges)
    assert not sets[without].any()
    assert sets[~without].any()


def test_own_label_does_not_count(graph: tuple[Tensor, ...]) -> None:
    logits, y, edges, labelled = graph
    other = y.clone()
    node = int(labelled.nonzero()[0])
    other[node] = (y[node] + 1) % 3
    predictor = NAPS(cutoff=0)
    before = predictor.fit(logits, y, cal_mask=labelled)(logits, edges)[node]
    assert torch.equal(predictor.fit(logits, other, cal_mask=labelled)(logits, edges)[node], before)


def test_state_dict_and_new_nodes(graph: tuple[Tensor, ...]) -> None:
    logits, y, edges, labelled = graph
    saved = NAPS(cutoff=2).fit(logits, y, cal_mask=labelled)
    loaded = NAPS(cutoff=2)
    loaded.load_state_dict(saved.state_dict())
    assert torch.equal(loaded(logits, edges), saved(logits, edges))
    more = torch.cat([logits, torch.randn(1, 3)])
    joined = torch.cat([edges, torch.tensor([[0], [NUM_NODES]])], dim=1)
    assert loaded(more, joined).shape == (NUM_NODES + 1, 3)


def test_bad_input(graph: tuple[Tensor, ...]) -> None:
    logits, y, edges, labelled = graph
    with pytest.raises(RuntimeError, match="this NAPS must be fitted before it gives sets"):
        NAPS()(logits, edges)
    with pytest.raises(TypeError, match="'score' must be a score of single nodes, such as"):
        NAPS(DAPS())
    with pytest.raises(ValueError, match=r"'weighting' must be one of .* got 'unif'"):
        NAPS(weighting="unif")
    with pytest.raises(ValueError, match="'hops' must be at least 1, got 0"):
        NAPS(hops=0)
    predictor = NAPS(APS()).fit(logits, y, cal_mask=labelled)
    with pytest.raises(ValueError, match="'logits' must have all nodes of the fit, got 2 rows"):
        predictor(logits[:2], edges[:, :0])
    with pytest.raises(ValueError, match="'edge_index' must be given, got None"):
        predictor(logits, None)
