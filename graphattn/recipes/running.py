"""Carrying out an experiment: data, seed, model, training, run folder."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import Module
from torch.nn.parameter import is_lazy
from torch_geometric import seed_everything
from torch_geometric.data import Data
from torch_geometric.transforms import (
    AddSelfLoops,
    Compose,
    RemoveSelfLoops,
    ToUndirected,
)

from graphattn._core.checks import check_seed
from graphattn.data import (
    NormalizeFeatures,
    SparseFeatures,
    card,
    fingerprint,
    load,
    own_path,
    select_split,
    tidy,
)
from graphattn.recipes.batches import make_batches
from graphattn.recipes.experiment import DataConfig, Experiment
from graphattn.tasks import Task
from graphattn.train import Report, RunFolder, fit
from graphattn.train.device import make_fabric
from graphattn.train.inputs import choose_task

__all__ = [
    "Restored",
    "Run",
    "build_model",
    "load_data",
    "open_run",
    "restore",
    "resume",
    "run",
    "take_split",
]

_EDGES_FOR_THREADS = 100_000


class Run(NamedTuple):
    """A run folder with what it takes to go on with it."""

    experiment: Experiment
    """What is run."""
    seed: int
    """Its seed."""
    folder: RunFolder
    """Where its files are."""


@dataclass(frozen=True, eq=False)
class Restored:
    """A finished run, ready to be looked at."""

    model: Module
    """The network with the weights of the selected epoch, in evaluation mode, on the CPU."""
    data: Data
    """The prepared graph, with the split that the run's seed took."""
    task: Task
    """What was learnt."""
    experiment: Experiment
    """What was run."""
    seed: int
    """Its seed."""
    folder: RunFolder
    """Where its files are."""


def load_data(
    config: DataConfig,
    *,
    root: str | os.PathLike[str] | None = None,
    seed: int = 0,
    offline: bool = False,
) -> Data:
    """Load and prepare a data set.

    Args:
        config: Which set, and what is done to it.
        root: Folder of all data sets; see :func:`graphattn.data.load`.
        seed: Seed of a split that is drawn.
        offline: Never use the network.

    Returns:
        The graph, with the masks of all splits.

    Raises:
        ValueError: If the files of a graph of one's own are not those of the fingerprint.
    """
    if config.fingerprint and fingerprint(config.name) != config.fingerprint:
        raise ValueError(
            f"the contents of {config.name!r} have changed since these settings were made; start a "
            "new run"
        )
    steps = [
        *([NormalizeFeatures()] if config.normalize_features else []),
        *([ToUndirected()] if config.undirected else []),
        *([RemoveSelfLoops(), AddSelfLoops()] if config.self_loops else []),
        *([SparseFeatures()] if config.sparse_features else []),
    ]
    return load(
        config.name,
        root=root,
        split=config.split,
        seed=seed,
        offline=offline,
        sparse=config.sparse_features,
        transform=Compose(steps),
    )


def run(
    experiment: Experiment,
    seed: int,
    *,
    runs: str | os.PathLike[str] | None = "runs",
    root: str | os.PathLike[str] | None = None,
    offline: bool = False,
    progress: bool = True,
) -> Report:
    """Carry out an experiment once.

    Of a protocol with several splits, seed ``k`` takes split ``k`` modulo their number.

    Args:
        experiment: What to run.
        seed: Seeds the initialisation, the training and a split that is drawn.
        runs: Folder in which the run folder is made; ``None`` writes nothing.
        root: Folder of all data sets.
        offline: Never use the network.
        progress: Show a progress bar.

    Returns:
        The figures of the selected epoch.

    Raises:
        ValueError: If data or settings do not fit; see :func:`graphattn.train.fit`.
        OSError: If the run folder can't be written.
    """
    fabric = make_fabric(experiment.train.accelerator, experiment.train.precision)
    with fabric.rank_zero_first():  # which may download
        data = load_data(experiment.data, root=root, seed=seed, offline=offline)
    if runs is None:
        return _fit(experiment, seed, data, None, resume=False, progress=progress)
    path = ""
    if fabric.is_global_zero:
        config = {**experiment.to_dict(), "seed": seed}
        path = str(RunFolder.create(runs, experiment.name, seed, config=config).path)
    folder = RunFolder(fabric.broadcast(path))
    try:
        return _fit(experiment, seed, data, folder, resume=False, progress=progress)
    except BaseException:
        # What failed before it began leaves nothing; what has begun can be resumed.
        if fabric.is_global_zero and not folder.started:
            shutil.rmtree(folder.path, ignore_errors=True)
        raise


def open_run(path: str | os.PathLike[str] | RunFolder) -> Run:
    """Read what a run folder was begun with.

    Raises:
        ValueError: If it is no run folder, or its ``config.yaml`` has an unknown key or a value
            out of range; the text names it.
        OSError: If a file can't be read.
    """
    folder = path if isinstance(path, RunFolder) else RunFolder(path)
    if not folder.config_path.exists():
        if folder.is_empty:
            raise ValueError(
                f"{folder.path} holds a run that ended before it began: there is no config.yaml; "
                "start a new run"
            )
        below = [
            str(found.parent)
            for levels in ("*", "*/*", "*/*/*")  # as deep as `graphattn train` makes them
            for found in sorted(folder.path.glob(f"{levels}/{folder.config_path.name}"))
        ]
        more = f"; run folders below it: {', '.join(below[:3])}" if below else ""
        more += f" and {len(below) - 3} more" if len(below) > 3 else ""
        raise ValueError(
            f"{str(folder.path)!r} is no run folder: it has no {folder.config_path.name}{more}"
        )
    config = folder.read_config()
    if "seed" not in config:
        raise ValueError(f"{folder.config_path} lacks 'seed'")
    seed = config.pop("seed")
    try:
        check_seed("seed", seed)
        return Run(Experiment.from_dict(config), seed, folder)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder.config_path}: {error}") from error


def restore(
    run: str | os.PathLike[str] | RunFolder,
    *,
    root: str | os.PathLike[str] | None = None,
    offline: bool = False,
) -> Restored:
    """Everything about a finished run in one call: the model, its data, task and settings.

    No random state is touched.

    Args:
        run: The run folder.
        root: Folder of all data sets, wherever it was when the run was made; see
            :func:`graphattn.data.load`.
        offline: Never use the network.

    Returns:
        The run; ``restored.model`` has the weights of the selected epoch.

    Raises:
        ValueError: If it is no run folder, the run is not finished, or weights, settings and data
            do not belong together.
        FileNotFoundError: If the weights are missing or, offline, the data set.
        OSError: If another file can't be read, or a data set can't be downloaded.

    Example:
        >>> restored = restore("runs/gat/cora/20260101-120000-seed0")  # doctest: +SKIP
        >>> restored.model(restored.data.x, restored.data.edge_index)  # doctest: +SKIP
    """
    experiment, seed, folder = open_run(run)
    if not folder.finished:
        raise ValueError(
            f"the run in {str(folder.path)!r} is not finished; continue it with: "
            f"graphattn train --resume {shlex.quote(str(folder.path))}"
        )
    if not folder.weights_path.exists():
        raise FileNotFoundError(
            f"{str(folder.path)!r} has a report, but no {folder.weights_path.name}: copy it, too, "
            "or run the experiment again"
        )
    data = load_data(experiment.data, root=root, seed=seed, offline=offline)
    data, _ = take_split(data, seed)
    with torch.random.fork_rng(devices=[]):
        model = _network(experiment, data)
    folder.load_weights(model)
    data = tidy(data)
    task = choose_task(data, None, experiment.train, batched=False)
    return Restored(model.eval(), data, task, experiment, seed, folder)


def resume(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    offline: bool = False,
    progress: bool = True,
) -> Report:
    """Continue a run; it ends with the numbers of one that was never interrupted.

    Args:
        path: Its run folder.
        root: Folder of all data sets.
        offline: Never use the network.
        progress: Show a progress bar.

    Returns:
        The figures of the selected epoch; those of a finished run without training.

    Raises:
        ValueError: If the folder or its checkpoint is damaged or of another model.
        OSError: If a file can't be read or written.
    """
    experiment, seed, folder = open_run(path)
    data = load_data(experiment.data, root=root, seed=seed, offline=offline)
    return _fit(experiment, seed, data, folder, resume=True, progress=progress)


def build_model(experiment: Experiment, data: Data, seed: int) -> Module:
    """Make the network of an experiment with the parameters of a seed.

    Raises:
        ValueError: If training it takes more memory than there is.
    """
    with torch.device("meta"):
        _check_memory(_network(experiment, data))
    seed_everything(seed)
    return _network(experiment, data)


def _check_memory(model: Module) -> None:
    """See that weights, gradients, two moments and the best weights fit into the memory."""
    needed = 5 * sum(p.numel() * p.element_size() for p in model.parameters() if not is_lazy(p))
    if hasattr(os, "sysconf") and needed > (
        there := os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    ):
        raise ValueError(
            f"'model' must fit into {there / 2**30:.0f} GiB of memory, but training it takes "
            f"{needed / 2**30:,.0f} GiB or more; make it narrower or shallower"
        )


def take_split(data: Data, seed: int) -> tuple[Data, str]:
    """The split that belongs to a seed, and its index if there are several."""
    if data.train_mask.dim() == 1:
        return data, ""
    index = seed % data.train_mask.size(1)
    return select_split(data, index), f"[{index}]"


def _network(experiment: Experiment, data: Data) -> Module:
    """The network of an experiment for the sizes of a graph."""
    edge_dim = None if data.edge_attr is None else data.edge_attr.size(-1)
    return experiment.model.build(data.num_node_features, data.num_classes, edge_dim)


def _fit(
    experiment: Experiment,
    seed: int,
    data: Data,
    folder: RunFolder | None,
    *,
    resume: bool,
    progress: bool,
) -> Report:
    data, index = take_split(data, seed)
    with _threads_for(data):
        return fit(
            build_model(experiment, data, seed),
            data,
            experiment.train,
            seed=seed,
            **make_batches(experiment.sampling, data, seed),
            run=folder,
            resume=resume,
            progress=progress,
            name=experiment.name,
            split=f"{experiment.data.split or _default_split(experiment.data)}{index}",
        )


def _default_split(config: DataConfig) -> str:
    """What the split is called that is taken where none is named."""
    return "file" if own_path(config.name) is not None else card(config.name).default_split


@contextmanager
def _threads_for(data: Data) -> Iterator[None]:
    """Train on one CPU thread where the graph is small: waiting for others costs more than it."""
    before = torch.get_num_threads()
    if data.num_edges < _EDGES_FOR_THREADS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
