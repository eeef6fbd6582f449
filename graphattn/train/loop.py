"""The training loop."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sized
from copy import copy
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch_geometric import seed_everything
from torch_geometric.data import Data, HeteroData
from tqdm.auto import tqdm

from graphattn.data import check_data, notice_one_way, tidy
from graphattn.tasks import Task
from graphattn.tasks.calling import Batch
from graphattn.tasks.scores import Scores
from graphattn.tasks.task import SPLITS, Split
from graphattn.train.checkpoint import Checkpoints, Position
from graphattn.train.config import TrainConfig
from graphattn.train.device import deterministic, make_fabric, share_buffers, sum_over_ranks
from graphattn.train.environment import describe_environment
from graphattn.train.evaluation import EvalBatches, by_split, first_batch, score
from graphattn.train.inputs import NOT_NAMED, check_batches, check_model, choose_task
from graphattn.train.interrupt import Interrupt, deferred_interrupt
from graphattn.train.report import Report
from graphattn.train.run_folder import RunFolder
from graphattn.train.state import TrainState
from graphattn.train.step import learning_rate_factor, make_optimizer, train_step
from graphattn.train.stopping import EarlyStopping

__all__ = ["fit"]

logger = logging.getLogger("graphattn")


def fit(
    model: nn.Module,
    data: Data | HeteroData | Mapping[str, Iterable[Batch]],
    config: TrainConfig | None = None,
    *,
    task: Task | str | None = None,
    seed: int = 0,
    batches: Iterable[Batch] | None = None,
    eval_batches: EvalBatches | None = None,
    run: RunFolder | None = None,
    resume: bool = False,
    progress: bool = True,
    name: str = "",
    split: str = "",
) -> Report:
    """Train a model and leave the selected epoch's weights in it.

    Each epoch trains on every batch once, then looks at loss and metric of the validation examples.
    The test examples are looked at once, with the selected weights. Both go by the whole graph
    unless batches are given.

    With a run folder, Ctrl-C ends the epoch (or, where the number of batches is known, the batch),
    saves, and raises; a second one raises at once.

    Under ``torchrun`` every process goes through batches of its own, equally many on each. A step
    is that of one process with the batches of all, metrics are those of all, and the first process
    writes the run folder.

    Args:
        model: Called with the attributes of a batch that its ``forward`` names, such as
            ``forward(x, edge_index)``; see :func:`graphattn.tasks.call_model`.
        data: Graph with ``x`` (dense or ``torch.sparse_csr``), ``edge_index``, ``y`` and the masks
            ``train_mask``, ``val_mask``, ``test_mask``, in any form that
            :func:`graphattn.data.tidy` takes; of several node types, one has ``y`` and masks. Or,
            for tasks on graphs, a mapping with the batches of "train", "val" and "test", each with
            labels ``y``. Labels of -1 or NaN are unknown and left out.
        config: How to train; the default is that of the GAT paper on Cora.
        task: What is learnt: a task, or "multiclass", "binary" or "multilabel"; by default as in
            ``config``, and there by default guessed from the labels.
        seed: Seeds the global generators at the start, from which dropout draws. The caller has
            initialised the model by then: seed before that too.
        batches: Mini-batches of an epoch, gone through anew in every epoch, such as a PyG loader.
            Is told the epoch, from 0, if it has a method ``set_epoch``.
            Only the first ``batch_size`` nodes of a batch that has that entry are trained on. The
            default is the whole graph as the only batch.
        eval_batches: Batches to compute loss and metrics on, of all splits or a mapping with those
            of each; the default is the whole graph. With both kinds of batches the whole graph is
            never put on the device.
        run: Where to keep metrics, weights and report; by default nothing is written.
        resume: Continue the run in ``run`` (from the start if it has no checkpoint yet). On the
            CPU the results are bit for bit those of a run that was never interrupted, if the
            batches of an epoch are always the same. A finished run gives its report and weights
            without training.
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
    config = config or TrainConfig()
    if isinstance(data, Data):
        data = tidy(data)
        check_data(data, labels=False, one_split=True)
        notice_one_way(data)
    sample = check_batches(data, batches, eval_batches)
    chosen = choose_task(sample, task, config, batched=isinstance(data, Mapping))
    check_model(model, sample, chosen)
    if run is None and resume:
        raise ValueError("'resume' needs a run folder, got run=None")
    if run is not None and run.started and not resume:
        raise ValueError(
            f"'run' holds results already, got {run}; pass resume=True or a new folder"
        )
    if run is not None and run.finished:
        run.load_weights(model)
        return run.read_report()

    if isinstance(data, Mapping):
        whole, batches, eval_batches = None, data["train"], data
    else:
        whole = data
    fabric = make_fabric(config.accelerator, config.precision, find_unused=config.l2 == 0)
    logger.info("training on %s (%d threads)", fabric.device, torch.get_num_threads())
    seed_everything(seed + fabric.global_rank)
    with deterministic(config.deterministic), deferred_interrupt(enabled=run is not None) as stop:
        trainer = _Trainer(
            fabric,
            model,
            chosen,
            config,
            data=whole,
            batches=batches,
            eval_batches=eval_batches,
            seed=seed,
            run=run,
        )
        trainer.train(stop, progress=progress and fabric.is_global_zero)
        return trainer.finish(name=name or type(model).__name__, split=split)


class _Trainer:
    """One run: what :func:`fit` was given, set up on the device, and its moving state."""

    def __init__(
        self,
        fabric: Fabric,
        model: nn.Module,
        task: Task,
        config: TrainConfig,
        *,
        data: Batch | None,
        batches: Iterable[Batch] | None,
        eval_batches: EvalBatches | None,
        seed: int,
        run: RunFolder | None,
    ) -> None:
        self.fabric, self.model, self.task, self.config = fabric, model, task, config
        self.seed, self.position = seed, Position()
        self.data = None
        if data is not None and (batches is None or eval_batches is None):
            self.data = fabric.to_device(copy(data))  # `Data.to` works in place
        whole = [] if self.data is None else [self.data]
        self.batches = whole if batches is None else batches
        self.eval_batches = whole if eval_batches is None else eval_batches
        self.looks_at_batches = eval_batches is not None
        self.kept: dict[Split, Scores] = {}
        self.runnable = cast(nn.Module, torch.compile(model)) if config.compile else model
        model.to(fabric.device)
        with torch.random.fork_rng(devices=[], enabled=self.looks_at_batches):
            first = self._on_device(first_batch(self.eval_batches))
        # Makes lazy parameters, and shows whether the output fits.
        task.check_output(
            self._output(first), first, task.labels_of(first if data is None else data)
        )
        self.module = fabric.setup_module(self.runnable)
        optimizer = make_optimizer(model, config)
        self.optimizer = cast(Optimizer, fabric.setup_optimizers(optimizer))
        named = () if config.monitor in NOT_NAMED else (config.monitor,)
        self.followed = tuple(dict.fromkeys((task.selects, *named)))
        more = (f"val_{metric}" for metric in self.followed[1:])
        self.columns = ("train_loss", "val_loss", "val_metric", *more)
        stopping = EarlyStopping(config.monitor, config.patience, config.ties)
        self.state = TrainState(model, optimizer, stopping)
        self.state.keep_weights()  # for a run that is interrupted before it has looked once
        self.checkpoints = Checkpoints(
            run,
            self.state,
            config,
            seed=seed,
            columns=self.columns,
            writes=fabric.is_global_zero,
        )
        if run is not None:
            position = self.checkpoints.restore()
            if position is not None:
                self.position = position
                if fabric.global_rank:  # the checkpoint has the random numbers of the first only
                    seed_everything(seed + fabric.global_rank + self.state.epoch)
            if fabric.is_global_zero and not run.environment_path.exists():
                run.write_environment(describe_environment(fabric.device))
        self.run = run

    def train(self, stop: Interrupt, *, progress: bool) -> None:
        """Run epochs until patience, ``max_epochs`` or Ctrl-C ends them."""
        state, stopping, checkpoints = self.state, self.state.stopping, self.checkpoints
        total, name = self.config.max_epochs, self.followed[-1]
        with tqdm(total=total, initial=state.epoch, disable=not progress, unit="epoch") as bar:
            while state.epoch < total and not stopping.stop:
                values = self._epoch(stop)
                if values is not None:
                    bar.set_postfix_str(
                        f"loss {values[0]:.4f}, val {name} {values[-1]:.4f}, "
                        f"best {stopping.selected_metric:.4f} (epoch {stopping.best_epoch})",
                        refresh=False,
                    )
                    bar.update()
                if self._stops(stop):
                    break
                if checkpoints.due:
                    checkpoints.save(self.position)
        checkpoints.save(self.position)
        if stop.requested:
            within = f" and {self.position.batches} batches" if self.position.batches else ""
            logger.warning("interrupted after epoch %d%s, which is saved", state.epoch, within)
            raise KeyboardInterrupt

    def finish(self, *, name: str, split: str) -> Report:
        """Put the selected weights into the model and report their figures."""
        state, model = self.state, self.model
        model.load_state_dict(state.best)
        flat = by_split(self._scores(SPLITS, self.task.metrics), self.task)
        main = {f"{each}_{what}" for each in SPLITS for what in ("loss", "metric")}
        figures: dict[str, Any] = {key: flat[key] for key in main}
        report = Report(
            name=name,
            seed=self.seed,
            split=split,
            metric=self.task.selects,
            best_epoch=state.stopping.best_epoch,
            epochs=state.epoch,
            **figures,
            seconds=state.seconds,
            parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
            device=str(self.fabric.device),
            task=self.task.name,
            metrics={k: v for k, v in flat.items() if k not in main and math.isfinite(v)},
        )
        if self.run is not None and self.fabric.is_global_zero:
            self.run.write_report(report)
        if self.fabric.world_size > 1:
            self.fabric.barrier()
        return report

    def _epoch(self, stop: Interrupt) -> list[float] | None:
        """Train on every batch and look at the validation examples.

        Returns:
            The values of the columns, NaN where nothing was looked at; ``None`` if the epoch was
            interrupted inside.
        """
        state, epoch, every = self.state, self.state.epoch + 1, self.config.eval_every
        loss = self._train_on_batches(epoch, stop)
        if loss is None:
            return None
        looks = epoch % every == 0 or epoch == self.config.max_epochs
        tensors = [loss]
        if looks:
            val = self._scores(("val",), self.followed, self.kept)["val"]
            tensors += [val["loss"], *(val[name] for name in self.followed)]
        # One transfer from the device per epoch.
        values: list[float] = torch.stack([value.to(loss) for value in tensors]).tolist()
        for column, value in zip(self.columns, values, strict=False):
            if not math.isfinite(value):
                raise FloatingPointError(f"{column} is {value} in epoch {epoch}")
        if looks:
            since = (epoch - 1) % every + 1
            if state.stopping.update(epoch, loss=values[1], metric=values[-1], epochs=since):
                state.keep_weights()
                self.checkpoints.best_is_saved = False
        else:
            values += [math.nan] * (len(self.columns) - 1)
        state.epoch, self.position = epoch, Position()
        state.history.append(tuple(values))
        return values

    def _train_on_batches(self, epoch: int, stop: Interrupt) -> Tensor | None:
        """Go through the batches (of a resumed epoch those that are left); their mean loss."""
        self.model.train()  # Fabric's wrapper takes several times as long
        if callable(set_epoch := getattr(self.batches, "set_epoch", None)):
            # What a loader draws depends on the epoch, also where a resumed run begins with it.
            set_epoch(epoch - 1)
        position, config = self.position, self.config
        steps = len(self.batches) if isinstance(self.batches, Sized) else None
        total = position.total.to(self.fabric.device)
        for batch in position.rest(self.batches, keep_start=steps not in (None, 1)):
            if config.warmup_epochs or config.schedule != "constant":
                self._set_learning_rate(epoch - 1, steps or 1)
            loss, count = train_step(
                self.fabric, self.module, self.optimizer, self._on_device(batch), self.task, config
            )
            total = total + loss * count
            position.total, position.count = total, position.count + count
            position.batches += 1
            if steps is not None and position.batches < steps:
                if stop.requested and self.fabric.world_size == 1:
                    return None
                if self.checkpoints.due:
                    self.checkpoints.save(position)
        if position.count == 0:
            raise ValueError(
                f"'batches' gave no training example in epoch {epoch}; it is gone through in every "
                "epoch, so it must be a list or loader, not an iterator"
            )
        return total / position.count

    def _set_learning_rate(self, epochs: int, steps: int) -> None:
        done = epochs + min(self.position.batches / steps, 1.0)
        factor = learning_rate_factor(self.config, done, 1 / steps)
        for group in self.state.optimizer.param_groups:
            group["lr"] = self.config.lr * factor

    def _scores(
        self,
        splits: tuple[Split, ...],
        names: tuple[str, ...],
        kept: dict[Split, Scores] | None = None,
    ) -> dict[Split, dict[str, Tensor]]:
        share_buffers(self.fabric, self.model)
        # Loaders draw as they begin: looking shall not change what training draws.
        with torch.random.fork_rng(devices=[], enabled=self.looks_at_batches):
            return score(
                self.task,
                self._output,
                self.eval_batches,
                splits,
                names,
                move=self._on_device,
                kept=kept,
            )

    @torch.no_grad()
    def _output(self, batch: Batch) -> Tensor:
        """The model's output for a batch, in evaluation mode."""
        self.model.eval()
        # Not through the module that Fabric has set up: ranks may have different numbers of batches
        # here, and its forward of several ranks waits for them.
        with self.fabric.autocast():
            return self.task.output(self.runnable, batch).float()

    def _on_device(self, batch: Batch) -> Batch:
        if batch is self.data:
            return batch
        moved: Batch = self.fabric.to_device(copy(batch))  # `Data.to` works in place
        return moved

    def _stops(self, stop: Interrupt) -> bool:
        """Whether Ctrl-C was pressed, in the process of any rank."""
        if self.fabric.world_size > 1:
            asked = torch.tensor(float(stop.requested), device=self.fabric.device)
            stop.requested = bool(sum_over_ranks(self.fabric, asked) > 0)
        return stop.requested
