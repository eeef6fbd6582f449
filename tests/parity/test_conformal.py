"""Conformal sets and risk-coverage curves against the outputs of TorchCP and of authors' code.

`GRAPHATTN_PARITY` names another root of fixture folders to check with the same command; array names
and tolerances are those of `fixtures/conformal/README.md`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch_geometric.nn import GCN
from torch_geometric.utils import subgraph

from graphattn.calibration.conformal import (
    APS,
    CFGNN,
    DAPS,
    NAPS,
    RAPS,
    SAPS,
    SNAPS,
    THR,
    Score,
    class_thresholds,
    conformal_rank,
    conformal_threshold,
    coverage_by_group,
    coverage_by_size,
    equal_count_bins,
    knn_graph,
    measure_sets,
    set_size_loss,
)
from graphattn.calibration.conformal.quantile import SLACK
from graphattn.calibration.selective import risk_coverage

ROOT = Path(os.environ.get("GRAPHATTN_PARITY") or Path(__file__).parent / "fixtures")
FOLDER = ROOT / "conformal"
TOLERANCE = {"rtol": 0.0, "atol": 1e-10}

Arrays = dict[str, Tensor]


def load(name: str) -> Arrays:
    with np.load(FOLDER / f"{name}.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file}


def assert_near(found: object, expected: Tensor) -> None:
    found = torch.as_tensor(found, dtype=torch.float64)
    torch.testing.assert_close(found, expected.double(), equal_nan=True, **TOLERANCE)


BASES: dict[str, Score] = {
    "lac": THR(),
    "aps_node": APS(),
    "aps_det": APS(randomised=False),
}
SCORES = [
    *BASES,
    "aps",
    "raps",
    "raps_det",
    "saps",
    *(f"{graph}_{base}" for graph in ("daps25", "daps50", "snaps") for base in BASES),
]


def score_of(name: str, arrays: Arrays) -> tuple[Score, Tensor | None]:
    """The score of a fixture's name, and its random numbers."""
    if name.startswith(("raps", "saps")) or name == "aps":
        drawn = not name.endswith("_det")
        made: dict[str, Score] = {
            "aps": APS(),
            "raps": RAPS(float(arrays["raps_penalty"]), int(arrays["raps_kreg"]), drawn),
            "saps": SAPS(float(arrays["saps_weight"])),
        }
        return made[name.removesuffix("_det")], arrays["u_by_rank"] if drawn else None
    graph, _, base = name.partition("_")
    made = {
        "daps25": lambda score: DAPS(score, weight=0.25, alone="zero"),
        "daps50": lambda score: DAPS(score, alone="zero"),
        "snaps": lambda score: SNAPS(score, alone="zero"),
    }
    score = made[graph](BASES[base]) if graph in made else BASES[name]
    return score, arrays["u_node"] if name.endswith("aps_node") else None


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("graph", ["undirected", "messy_directed"])
def test_scores_thresholds_sets_and_metrics(graph: str, name: str) -> None:
    arrays = load(f"scores_{graph}")
    score, u = score_of(name, arrays)
    knn = knn_graph(arrays["features"], int(arrays["knn_k"]))
    scores = score(arrays["logits"], u, arrays["edge_index"], knn=knn)
    torch.testing.assert_close(scores, arrays[f"score_{name}"], **TOLERANCE)
    y, cal, test = arrays["labels"], arrays["cal_idx"], arrays["test_idx"]
    for alpha in arrays["alphas"].tolist():
        tag = f"{name}_a{round(1000 * alpha):03d}"
        threshold = conformal_threshold(scores[cal, y[cal]], alpha)
        assert_near(threshold, arrays[f"q_{tag}"])
        sets = scores[test] <= threshold + SLACK
        assert torch.equal(sets, arrays[f"set_{tag}"].bool())
        measures = measure_sets(sets, y[test], alpha=alpha)
        found = [measures.coverage, measures.size, measures.singleton_hit_ratio]
        assert_near(found, arrays[f"metrics_{tag}"])


@pytest.mark.parametrize("graph", ["undirected", "messy_directed"])
def test_similar_nodes(graph: str) -> None:
    arrays = load(f"scores_{graph}")
    found = torch.sparse_coo_tensor(*knn_graph(arrays["features"], int(arrays["knn_k"])))
    expected = torch.sparse_coo_tensor(arrays["knn_edge"], arrays["knn_weight"], found.shape)
    torch.testing.assert_close(found.to_dense(), expected.to_dense(), **TOLERANCE)


def test_threshold() -> None:
    arrays = load("quantile")
    for case, (n, alpha) in enumerate(zip(arrays["n"], arrays["alpha"], strict=True)):
        assert conformal_rank(int(n), float(alpha)) == int(arrays["k_exact"][case])
        found = conformal_threshold(arrays[f"scores_{case:02d}"], float(alpha))
        assert float(found) == float(arrays["q_exact"][case])


@pytest.mark.parametrize("weighting", ["uniform", "linear", "geometric"])
def test_naps(weighting: str) -> None:
    arrays = load("naps")
    tag = {"uniform": "unif", "geometric": "geom"}.get(weighting, weighting)
    test = arrays["test_idx"]
    num_nodes = len(arrays["labels"])
    edges, _ = subgraph(test, arrays["edge_index"], relabel_nodes=True, num_nodes=num_nodes)
    logits, y, alpha = arrays["logits"][test], arrays["labels"][test], float(arrays["alpha"])
    predictor = NAPS(
        APS(randomised=False),
        alpha=alpha,
        hops=int(arrays["k"]),
        weighting=weighting,
        cutoff=int(arrays["cutoff"]),
    )
    predictor.fit(logits, y, cal_mask=torch.ones(len(y), dtype=torch.bool))
    thresholds = predictor.thresholds(edges, num_nodes=len(y))
    assert_near(thresholds, arrays[f"q_{tag}"])
    sets = predictor(logits, edges)
    assert torch.equal(sets, arrays[f"set_{tag}"].bool())
    kept = ~thresholds.isnan()
    assert int(kept.sum()) == int(arrays[f"n_predicted_{tag}"])
    measures = measure_sets(sets[kept], y[kept], alpha=alpha)
    found = [measures.coverage, measures.size, measures.singleton_hit_ratio]
    assert_near(found, arrays[f"metrics_{tag}"])


def test_conditional_coverage() -> None:
    arrays = load("conditional")
    sets, y, alpha = arrays["sets"].bool(), arrays["labels"], float(arrays["alpha"])
    measures = measure_sets(sets, y, alpha=alpha)
    for ours, theirs in {
        "coverage": "coverage",
        "size": "average_size",
        "singleton_hit_ratio": "singleton_hit_ratio",
        "singleton_ratio": "singleton_ratio",
        "empty_ratio": "empty_ratio",
        "macro_coverage": "macro_coverage_present",
        "covgap": "covgap",
        "violated_classes": "violated_classes",
    }.items():
        assert_near(getattr(measures, ours), arrays[theirs])
    filled = measure_sets(sets[sets.any(dim=1)], y[sets.any(dim=1)], alpha=alpha)
    assert_near(filled.size, arrays["average_size_nonempty"])

    by_class = coverage_by_group(sets, y, y).set_index("group").reindex(range(sets.size(1)))
    assert_near(by_class["nodes"].fillna(0).tolist(), arrays["class_count"])
    assert_near(by_class["coverage"].tolist(), arrays["class_coverage"])
    assert_near(by_class["size"].tolist(), arrays["class_size"])

    bins = equal_count_bins(arrays["degree"], 5)
    assert torch.equal(bins, arrays["degree_bin"])
    by_degree = coverage_by_group(sets, y, bins)
    assert_near(by_degree["coverage"].tolist(), arrays["degree_bin_coverage"])
    assert_near(by_degree["size"].tolist(), arrays["degree_bin_size"])

    single = [(size, size) for size in range(sets.size(1) + 1)]
    by_size = coverage_by_size(sets, y, ranges=single)
    assert_near(by_size["coverage"].tolist(), arrays["per_size_coverage"])
    by_size = coverage_by_size(sets, y, ranges=arrays["size_strata"].tolist())
    assert_near(by_size["nodes"].tolist(), arrays["size_strata_count"])
    assert_near(by_size["coverage"].tolist(), arrays["size_strata_coverage"])
    assert_near((by_size["coverage"] - (1 - alpha)).abs().max(), arrays["sscv"])
    assert_near(measures.sscv, arrays["sscv"])

    scores = arrays["true_scores"]
    assert_near(class_thresholds(scores, y, alpha, num_classes=sets.size(1)), arrays["class_q"])


def test_cf_gnn() -> None:
    arrays = load("cfgnn_loss")
    num_classes, hidden = arrays["logits_base"].size(1), len(arrays["param_convs_0_bias"])
    model = CFGNN(GCN(num_classes, hidden, 2, num_classes)).double().eval()
    parameters = dict(model.network.named_parameters())
    assert len(parameters) == 4
    for name, parameter in parameters.items():
        with torch.no_grad():
            parameter.copy_(arrays[f"param_{name.replace('.', '_')}"])
    y, train = arrays["labels"], arrays["train_idx"]
    corrected = model(arrays["logits_base"], arrays["edge_index"])
    assert_near(corrected.detach(), arrays["corrected_logits"])
    prediction = cross_entropy(corrected[train], y[train])
    assert_near(prediction.detach(), arrays["pred_loss"])
    probs, cal = corrected.softmax(dim=1), arrays["corr_calib_idx"]
    size = set_size_loss(
        probs[cal, y[cal]],
        probs[arrays["corr_test_idx"]],
        alpha=float(arrays["alpha"]),
        tau=float(arrays["tau"]),
        target_size=int(arrays["target_size"]),
    )
    assert_near(size.detach(), arrays["size_loss"])
    loss = prediction + float(arrays["size_weight"]) * size
    assert_near(loss.detach(), arrays["loss"])
    loss.backward()
    for name, parameter in parameters.items():
        expected = arrays[f"grad_{name.replace('.', '_')}"]
        torch.testing.assert_close(parameter.grad, expected, rtol=0.0, atol=1e-8)


@pytest.mark.parametrize("name", ["selective_1", "selective_2_ties"])
def test_risk_coverage(name: str) -> None:
    arrays = load(name)
    curve = risk_coverage(arrays["confidence"], arrays["correct"])
    assert_near(curve.coverage, arrays["coverage"])
    assert_near(curve.risk, arrays["risk_tie_averaged"])
    assert_near(curve.aurc, arrays["aurc_tie_averaged"])
    assert_near(curve.least_aurc, arrays["aurc_optimal_exact"])
    in_order = risk_coverage(arrays["confidence"], arrays["correct"], ties="in order")
    assert_near(in_order.risk, arrays["risk_stable"])
    assert_near(in_order.aurc, arrays["aurc_stable"])
    assert_near(in_order.e_aurc, arrays["e_aurc_exact"])
    for percent in (50, 80, 90):
        assert_near(in_order.risk_at(percent / 100), arrays[f"risk_at_{percent}"])
