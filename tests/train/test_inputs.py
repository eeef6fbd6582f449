"""What `fit` can be given: labels, types of nodes, batches of graphs, batches of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCN, GraphSAGE, HeteroConv, SAGEConv, global_mean_pool
from torch_geometric.transforms import RandomLinkSplit

from graphattn.sampling import LinkNeighborLoader, NeighborLoader
from graphattn.tasks import GraphTask, LinkTask, NodeTask
from graphattn.train import TrainConfig, fit
from graphattn.train.inputs import check_batches, choose_task

SPLITS = ("train", "val", "test")
CONFIG = TrainConfig(max_epochs=30, patience=30, lr=0.02)


def quiet(model: nn.Module, data: Any, config: TrainConfig = CONFIG, **rest: Any) -> Any:
    return fit(model, data, config, progress=False, **rest)


# Labels


def test_binary_labels_with_one_logit_and_metrics_by_name(graph: Data) -> None:
    graph.y = (graph.y == 0).float()
    config = replace(CONFIG, metric="average_precision", monitor="f1")
    report = quiet(GCN(8, 8, num_layers=2, out_channels=1), graph, config, task="binary")
    assert (report.task, report.metric) == ("node binary", "average_precision")
    assert report.test_metric == report.metrics["test_average_precision"] > 0.5
    assert {name.partition("_")[2] for name in report.metrics} == {
        "roc_auc", "average_precision", "accuracy", "f1", "micro_f1", "macro_f1",
    }  # fmt: skip


def test_one_logit_for_two_classes_is_an_error(graph: Data) -> None:
    graph.y = (graph.y == 0).long()
    with pytest.raises(ValueError, match=r"\[120, 2\] or wider for 'multi.*, got \[120, 1"):
        quiet(GCN(8, 8, num_layers=2, out_channels=1), graph)


def test_unknown_labels_are_left_out_everywhere(graph: Data, make_model: Any) -> None:
    unknown = torch.arange(120) % 4 == 0
    hidden, shrunk = graph.clone(), graph.clone()
    hidden.y[unknown] = -1
    for split in SPLITS:
        shrunk[f"{split}_mask"] = shrunk[f"{split}_mask"] & ~unknown
    assert quiet(make_model(), hidden).numbers() == quiet(make_model(), shrunk).numbers()


def test_missing_answers_are_left_out_of_each_question(graph: Data, make_model: Any) -> None:
    y = nn.functional.one_hot(graph.y, 3).float()
    y[torch.arange(120) % 5 == 0, 1] = float("nan")
    graph.y = y
    report = quiet(make_model(), graph)
    assert report.task == "node multilabel"
    assert 0.5 < report.test_metric <= 1


def test_any_metric_of_the_task_stops_and_others_are_named(graph: Data, make_model: Any) -> None:
    report = quiet(make_model(), graph, replace(CONFIG, monitor="macro_f1"))
    assert report.metric == "accuracy"
    with pytest.raises(ValueError, match="unknown metric for 'multiclass' labels 'f1'"):
        quiet(make_model(), graph, replace(CONFIG, monitor="f1"))


def test_a_task_object_wins_over_the_settings(graph: Data) -> None:
    task = NodeTask(labels="multiclass", metric="micro_f1")
    config = replace(CONFIG, task="binary")
    assert choose_task(graph, task, config, batched=False) is task
    assert choose_task(graph, "multiclass", config, batched=False).labels == "multiclass"
    with pytest.raises(ValueError, match=r"'y' must lie in \[0, 1\]"):
        choose_task(graph, None, config, batched=False)


# Models


def test_a_model_that_wants_the_data(graph: Data) -> None:
    class OfData(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 3)

        def forward(self, data: Data) -> Tensor:
            out: Tensor = self.linear(data.x)
            return out

    assert quiet(OfData(), graph).val_metric > 0.3


def test_what_a_model_needs_and_does_not_get_is_named(graph: Data) -> None:
    class Wishes(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor, positions: Tensor) -> Tensor:
            raise AssertionError

    with pytest.raises(ValueError, match="'forward' of Wishes needs 'positions'"):
        quiet(Wishes(), graph)


# Several types, several graphs


class Hetero(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = HeteroConv(
            {("b", "of", "a"): SAGEConv((4, 8), 3), ("a", "to", "b"): SAGEConv((8, 4), 3)}
        )

    def forward(self, x_dict: Any, edge_index_dict: Any) -> Any:
        return self.conv(x_dict, edge_index_dict)


@pytest.fixture
def hetero(graph: Data) -> HeteroData:
    data = HeteroData()
    data["a"].x, data["a"].y, data["b"].x = graph.x, graph.y, torch.randn(10, 4)
    for split in SPLITS:
        data["a"][f"{split}_mask"] = graph[f"{split}_mask"]
    edges = torch.stack([torch.arange(120) % 10, torch.arange(120)])
    data["b", "of", "a"].edge_index, data["a", "to", "b"].edge_index = edges, edges.flip(0)
    return data


def test_nodes_of_one_type_among_several(hetero: HeteroData) -> None:
    report = quiet(Hetero(), hetero)
    assert report.task == "node multiclass of a"
    assert report.val_metric > 0.4
    del hetero["a"].val_mask
    with pytest.raises(ValueError, match=r"'data\['a'\].val_mask' is missing"):
        quiet(Hetero(), hetero)


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gcn, self.linear = GCN(2, 8, num_layers=1), nn.Linear(8, 2)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        out: Tensor = self.linear(global_mean_pool(self.gcn(x, edge_index), batch))
        return out


def graphs(seed: int) -> list[Data]:
    torch.manual_seed(seed)
    ring = torch.stack([torch.arange(5), (torch.arange(5) + 1) % 5])
    return [
        Data(x=torch.randn(5, 2) + 2 * (k % 2), edge_index=ring, y=torch.tensor([k % 2]))
        for k in range(20)
    ]


def test_whole_graphs_from_loaders() -> None:
    loaders = {split: DataLoader(graphs(k), batch_size=8) for k, split in enumerate(SPLITS)}
    torch.manual_seed(0)
    report = quiet(Pooled(), loaders)
    assert report.task == "graph multiclass"
    assert report.test_metric > 0.9
    with pytest.raises(ValueError, match="'data' has the batches of each split"):
        quiet(Pooled(), loaders, batches=loaders["train"])
    del loaders["val"]
    with pytest.raises(ValueError, match=r"'data' must have batches for .* lacks \['val'\]"):
        quiet(Pooled(), loaders)
    with pytest.raises(ValueError, match="'eval_batches' must have batches for"):
        check_batches(graphs(0)[0], None, loaders)


def test_a_task_of_graphs_can_be_said(graph: Data) -> None:
    loaders = {split: DataLoader(graphs(k), batch_size=8) for k, split in enumerate(SPLITS)}
    task = GraphTask(labels="binary", metric="accuracy")
    assert quiet(Pooled(), loaders, task=task).task == "graph binary"


# Pairs of nodes


@pytest.mark.parametrize("sampled", [False, True])
def test_links_of_pyg_s_split(graph: Data, sampled: bool) -> None:
    torch.manual_seed(0)
    parts = RandomLinkSplit(num_val=0.1, num_test=0.2)(graph)
    batches: dict[str, Any] = {split: [part] for split, part in zip(SPLITS, parts, strict=True)}
    if sampled:
        batches = {
            split: LinkNeighborLoader(
                part,
                [-1, -1],
                edge_label_index=part.edge_label_index,
                edge_label=part.edge_label,
                batch_size=64,
                shuffle=split == "train",
            )
            for split, part in zip(SPLITS, parts, strict=True)
        }
    model = GraphSAGE(8, 16, num_layers=2)
    report = quiet(model, batches, replace(CONFIG, max_epochs=60, patience=60), task=LinkTask())
    assert (report.task, report.metric) == ("link binary", "roc_auc")
    assert report.test_metric > 0.58
    with pytest.raises(ValueError, match=r"beside other labels; pass task=LinkTask\(\)"):
        quiet(model, batches)


# Batches of nodes


def loaders(graph: Data, **settings: Any) -> dict[str, Any]:
    train = NeighborLoader(
        graph, [-1, -1], input_nodes=graph.train_mask, batch_size=15, shuffle=True, **settings
    )
    return {"batches": train, "eval_batches": NeighborLoader(graph, [-1, -1], batch_size=50)}


def test_evaluation_in_chunks_gives_what_the_whole_graph_does(
    graph: Data,
) -> None:
    """And looking draws nothing: dropout is the same in both."""

    def make_model() -> nn.Module:
        torch.manual_seed(7)
        model: nn.Module = GraphSAGE(8, 16, num_layers=2, out_channels=3, dropout=0.5)
        return model

    chunks = quiet(make_model(), graph, **loaders(graph))
    whole = quiet(make_model(), graph, batches=loaders(graph)["batches"])
    for key, value in whole.numbers().items():
        if isinstance(value, float):
            assert chunks.numbers()[key] == pytest.approx(value, rel=1e-4), key
    assert chunks.metrics == pytest.approx(whole.metrics, rel=1e-4)


def test_the_whole_graph_is_never_moved_or_run_in_sampled_mode(
    graph: Data, moved: list[Data]
) -> None:
    class Small(GCN):  # type: ignore[misc]
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            assert x.size(0) < 120
            return super().forward(x, edge_index)

    sampled = {
        "batches": NeighborLoader(graph, [2, 2], input_nodes=graph.train_mask, batch_size=10),
        "eval_batches": NeighborLoader(graph, [2, 2], batch_size=15),
    }
    quiet(
        Small(8, 8, num_layers=2, out_channels=3), graph, replace(CONFIG, max_epochs=2), **sampled
    )
    assert moved
    assert all(part.num_nodes < 120 for part in moved)


def test_sampled_batches_of_several_types(hetero: HeteroData) -> None:
    sampled = {
        "batches": NeighborLoader(
            hetero, [-1], input_nodes=("a", hetero["a"].train_mask), batch_size=8, shuffle=True
        ),
        "eval_batches": NeighborLoader(hetero, [-1], input_nodes="a", batch_size=50),
    }
    report = quiet(Hetero(), hetero, **sampled)
    assert report.task == "node multiclass of a"
    assert report.val_metric > 0.4


class Counting:
    """Batches that count how often they are gone through."""

    def __init__(self, data: Data) -> None:
        self.data, self.passes = data, 0

    def __iter__(self) -> Iterator[Data]:
        self.passes += 1
        yield self.data


@pytest.mark.parametrize(("every", "passes"), [(1, 10), (3, 4), (50, 1)])
def test_looks_at_the_validation_set_now_and_then(
    graph: Data, make_model: Any, run: Any, every: int, passes: int
) -> None:
    """In the last epoch, too; one pass more shows whether the model fits, one gives the report."""
    counting = Counting(graph)
    config = replace(CONFIG, max_epochs=10, eval_every=every)
    report = quiet(make_model(), graph, config, eval_batches=counting, run=run)
    assert counting.passes == passes + 2
    assert report.best_epoch % every == 0 or report.best_epoch == 10
    lines = run.metrics_path.read_text().splitlines()[1:]
    assert sum("nan" in line for line in lines) == 10 - passes


def test_patience_counts_epochs_and_not_looks(graph: Data) -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.worse = nn.Parameter(torch.zeros(()))
            self.looks = 0

        def forward(self, x: Tensor) -> Tensor:
            self.looks += not self.training
            return x[:, :3] * (1 + self.looks) + 0 * self.worse

    config = TrainConfig(max_epochs=100, patience=6, eval_every=3, monitor="loss")
    report = quiet(Fixed(), graph, config)
    assert (report.best_epoch, report.epochs) == (3, 9)
