"""The training loop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import asdict
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch_geometric import seed_everything
from torch_geometric.data import Data
from tqdm.auto import tqdm

from graphattn.data import check_data, notice_one_way, tidy
from graphattn.train.config import TrainConfig
from graphattn.train.device import deterministic, make_fabric
from graphattn.train.environment import describe_environment
from graphattn.train.evaluation import evaluate, metric_name, predict, split_scores
from graphattn.train.interrupt import Interrupt, deferred_interrupt
from graphattn.train.report import Report
from graphattn.train.run_folder import RunFolder
from graphattn.train.state import TrainState
from graphattn.train.step import make_optimizer, train_step
from graphattn.train.stopping import EarlyStopping

__all__ = ["fit"]

logger = logging.getLogger("graphattn")

COLUMNS = ("train_loss", "val_loss", "val_metric")
# What may differ between a run and its continuation, since no number depends on it.
FREE_ON_RESUME = ("checkpoint_seconds",)


def fit(
    model: nn.Module,
    data: Data,
    config: TrainConfig | None = None,
    *,
    seed: int = 0,
    batches: Iterable[Data] | None = None,
    run: RunFolder | None = None,
    resume: bool = False,
    progress: bool = True,
    name: str = "",
    split: str = "",
) -> Report:
    """Train a model on the nodes of a graph and leave the selected epoch's weights in it.

    Each epoch trains on every batch once, then looks at loss and metric of the validation nodes on
    the whole graph. The test nodes are looked at once, with the selected weights. Labels ``[N]`` of
    integers are classes (cross-entropy, accuracy); labels ``[N, T]`` of floats are yes/no tasks
    (binary cross-entropy, area under the ROC curve).

    With a run folder, Ctrl-C ends the epoch, saves, and raises; a second one raises at once.

    Args:
        model: Called as ``model(x, edge_index)``, with ``edge_attr=`` where the graph has one.
        data: Graph with ``x`` (dense or ``torch.sparse_csr``), ``edge_index``, ``y`` and the masks
            ``train_mask``, ``val_mask``, ``test_mask``, in any form that
            :func:`graphattn.data.tidy` takes.
        config: How to train; the default is that of the GAT paper on Cora.
        seed: Seeds the global generators at the start, from which dropout draws. The caller has
            initialised the model by then: seed before that too.
        batches: Mini-batches of an epoch, gone through anew in every epoch, such as a PyG loader.
            Is told the epoch, from 0, if it has a method ``set_epoch``.
            Only the first ``batch_size`` nodes of a batch that has that entry are trained on. The
            default is the whole graph as the only batch.
        run: Where to keep metrics, weights and report; by default nothing is written.
        resume: Continue the run in ``run`` (from the start if it has no checkpoint yet). On the
            CPU the results are bit for bit those of a run that was never interrupted. A finished
            run gives its report and weights without training.
        progress: Whether to show a progress bar.
        name: Name for the report; by default the class of the model.
        split: Name of the split, for the report.

    Returns:
        The figures of the selected epoch.

    Raises:
        FloatingPointError: If a loss or the validation metric is not finite.
        OSError: If the run folder can't be written.
        ValueError: If the data are not as described, ``run`` holds results already and ``resume``
            is false, or the checkpoint is broken or of another run or model.
    """
    data = tidy(data)
    check_data(data, one_split=True)
    notice_one_way(data)
    _check_task(model, data)
    config = config or TrainConfig()
    if run is None and resume:
        raise ValueError("'resume' needs a run folder, got run=None")
    if run is not None and run.started and not resume:
        raise ValueError(
            f"'run' holds results already, got {run}; pass resume=True or a new folder"
        )
    if run is not None and run.finished:
        run.load_weights(model)
        return run.read_report()

    fabric = make_fabric(config.accelerator, config.precision)
    logger.info("training on %s (%d threads)", fabric.device, torch.get_num_threads())
    seed_everything(seed)
    with deterministic(config.deterministic), deferred_interrupt(enabled=run is not None) as stop:
        trainer = _Trainer(fabric, model, data, config, seed=seed, batches=batches, run=run)
        trainer.train(stop, progress=progress)
        return trainer.finish(name=name or type(model).__name__, split=split)


class _Trainer:
    """One run: what :func:`fit` was given, set up on the device, and its moving state."""

    def __init__(
        self,
        fabric: Fabric,
        model: nn.Module,
        data: Data,
        config: TrainConfig,
        *,
        seed: int,
        batches: Iterable[Data] | None,
        run: RunFolder | None,
    ) -> None:
        self.fabric, self.model, self.config, self.seed, self.run = fabric, model, config, seed, run
        self.data = fabric.to_device(copy(data))  # `Data.to` works in place
        self.batches = [self.data] if batches is None else batches
        runnable = cast(nn.Module, torch.compile(model)) if config.compile else model
        self.module = fabric.setup_module(runnable)
        self._check_output(data.y)
        optimizer = make_optimizer(model, config)
        self.optimizer = cast(Optimizer, fabric.setup_optimizers(optimizer))
        stopping = EarlyStopping(config.monitor, config.patience)
        self.state = TrainState(model, optimizer, stopping)
        self._best_is_saved = False
        if run is not None:
            self._restore(run)
            if not run.environment_path.exists():
                run.write_environment(describe_environment(fabric.device))
        self._started = time.monotonic() - self.state.seconds

    def train(self, stop: Interrupt, *, progress: bool) -> None:
        """Run epochs until patience, ``max_epochs`` or Ctrl-C ends them."""
        state, stopping = self.state, self.state.stopping
        saved = time.monotonic()
        total, name = self.config.max_epochs, metric_name(self.data.y)
        with tqdm(total=total, initial=state.epoch, disable=not progress, unit="epoch") as bar:
            while state.epoch < total and not stopping.stop:
                loss, _, metric = self._epoch()
                bar.set_postfix_str(
                    f"loss {loss:.4f}, val {name} {metric:.4f}, "
                    f"best {stopping.selected_metric:.4f} (epoch {stopping.best_epoch})",
                    refresh=False,
                )
                bar.update()
                if stop.requested:
                    break
                if time.monotonic() - saved >= self.config.checkpoint_seconds:
                    self._save()
                    saved = time.monotonic()
        self._save()
        if stop.requested:
            logger.warning("interrupted after epoch %d, which is saved", state.epoch)
            raise KeyboardInterrupt

    def finish(self, *, name: str, split: str) -> Report:
        """Put the selected weights into the model and report their figures."""
        state, model = self.state, self.model
        model.load_state_dict(state.best)
        scores: dict[str, Any] = {**evaluate(self.module, self.data)}
        report = Report(
            name=name,
            seed=self.seed,
            split=split,
            metric=metric_name(self.data.y),
            best_epoch=state.stopping.best_epoch,
            epochs=state.epoch,
            **scores,
            seconds=state.seconds,
            parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
            device=str(self.fabric.device),
        )
        if self.run is not None:
            self.run.write_report(report)
        return report

    def _epoch(self) -> list[float]:
        """Train on every batch, look at the validation nodes; the values of :data:`COLUMNS`."""
        state, epoch = self.state, self.state.epoch + 1
        loss = self._train_on_batches(epoch)
        val_loss, val_metric = split_scores(self._outputs(), self.data, "val")
        # One transfer from the device per epoch.
        values: list[float] = torch.stack([loss, val_loss, val_metric]).tolist()
        for column, value in zip(COLUMNS, values, strict=True):
            if not math.isfinite(value):
                raise FloatingPointError(f"{column} is {value} in epoch {epoch}")
        if state.stopping.update(epoch, loss=values[1], metric=values[2]):
            state.keep_weights()
            self._best_is_saved = False
        state.epoch = epoch
        state.history.append(tuple(values))
        return values

    def _train_on_batches(self, epoch: int) -> Tensor:
        """Go through the batches once; the mean loss over their training nodes."""
        self.model.train()  # Fabric's wrapper takes several times as long
        if callable(set_epoch := getattr(self.batches, "set_epoch", None)):
            # What a loader draws depends on the epoch, also where a resumed run begins with it.
            set_epoch(epoch - 1)
        total, nodes = torch.zeros((), device=self.fabric.device), 0
        for batch in self.batches:
            if batch is not self.data:
                batch = self.fabric.to_device(copy(batch))
            loss, count = train_step(
                self.fabric, self.module, self.optimizer, batch, l2=self.config.l2
            )
            total, nodes = total + loss * count, nodes + count
        if nodes == 0:
            raise ValueError(
                f"'batches' gave no training node in epoch {epoch}; it is gone through in every "
                "epoch, so it must be a list or loader, not an iterator"
            )
        return total / nodes

    @torch.no_grad()
    def _outputs(self) -> Tensor:
        """The model's output for the whole graph, in evaluation mode."""
        self.model.eval()
        return predict(self.module, self.data)

    def _check_output(self, y: Tensor) -> None:
        """Run the model once: makes lazy parameters, and shows whether its output fits."""
        shape = list(self._outputs().shape)
        nodes, width = y.size(0), y.size(1) if y.dim() == 2 else int(y.max()) + 1
        fits = len(shape) == 2 and shape[0] == nodes
        if not fits or shape[1] < width or (y.dim() == 2 and shape[1] != width):
            least = "" if y.dim() == 2 else " or wider"
            raise ValueError(
                f"'model' must give [{nodes}, {width}]{least} for these labels, got {shape}"
            )

    def _save(self) -> None:
        """Write a checkpoint; ``resume.pt`` comes last, and all else can be made from it."""
        self.state.seconds = time.monotonic() - self._started
        if self.run is None:
            return
        self.run.write_metrics(COLUMNS, self.state.history)
        if not self._best_is_saved:
            self.run.write_weights(self.state.best)
            self._best_is_saved = True
        choices = {"config": asdict(self.config), "seed": self.seed}
        self.run.write_resume({**choices, **self.state.state_dict()})

    def _restore(self, run: RunFolder) -> None:
        """Go to where the checkpoint is, if there is one."""
        if not run.resume_path.exists():
            return
        saved = run.read_resume()
        try:
            self._check_choices(saved, run)
            self.state.load_state_dict(saved, source=run.resume_path)
        except (AttributeError, KeyError, RuntimeError, TypeError) as error:
            raise ValueError(f"{run.resume_path} is damaged: {error!r}") from error
        logger.info("continuing %s after epoch %d", run.path, self.state.epoch)

    def _check_choices(self, saved: Mapping[str, Any], run: RunFolder) -> None:
        """See that the run is continued with the choices it was begun with."""
        now = {**asdict(self.config), "seed": self.seed}
        then = {**saved["config"], "seed": saved["seed"]}
        for key, value in now.items():
            if key not in FREE_ON_RESUME and then[key] != value:
                raise ValueError(
                    f"'{key}' must be {then[key]!r} as when {run.path} was begun, got {value!r}"
                )


def _check_task(model: nn.Module, data: Data) -> None:
    """See that there is a task for the labels, and that model and features go together."""
    metric_name(data.y)
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.dtype != data.x.dtype:
            raise ValueError(
                f"'data.x' is {data.x.dtype}, but the model's {name!r} is {parameter.dtype}; "
                "convert one of them"
            )
