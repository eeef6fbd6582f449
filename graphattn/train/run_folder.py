"""The folder that holds everything about a run."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from graphattn._core.checks import check_seed
from graphattn._core.files import (
    is_temporary,
    read_regular_file,
    relative_path,
    remove_leftovers,
    temporary_name,
    write_atomically,
)
from graphattn._core.plain import dump_yaml, parse_yaml
from graphattn.train.report import Report, read_report
from graphattn.train.weights import check_weights, read_weights, write_weights

__all__ = ["RunFolder"]

RESUME_FORMAT = 1
_LARGEST_CONFIG = 2**18
_LEFT_SECONDS = 3600


class RunFolder:
    """A folder with all that is needed to read, redo or continue a run.

    ===================== ======================================================================
    ``config.yaml``       what the caller chose, exact and reloadable
    ``environment.json``  versions, device, git revision, date
    ``metrics.csv``       one row per epoch
    ``model.safetensors`` weights of the selected epoch
    ``resume.pt``         all that continuing needs; read without executing anything in it
    ``report.json``       final figures; stands there only when the run is finished
    ===================== ======================================================================

    Files appear whole or not at all. When the disk is full or the folder is read-only, an
    ``OSError`` says so, and what was there before remains.

    Args:
        path: An existing folder; :meth:`create` makes a new one.

    Raises:
        ValueError: If there is no such folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise ValueError(f"'path' must be an existing run folder, got {str(path)!r}")
        self.config_path = self.path / "config.yaml"
        self.environment_path = self.path / "environment.json"
        self.metrics_path = self.path / "metrics.csv"
        self.weights_path = self.path / "model.safetensors"
        self.resume_path = self.path / "resume.pt"
        self.report_path = self.path / "report.json"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @classmethod
    def create(
        cls,
        root: str | os.PathLike[str],
        name: str,
        seed: int,
        *,
        config: Mapping[str, Any] | None = None,
    ) -> RunFolder:
        """Make the folder ``root/<name>/<time>-seed<seed>``, or one with ``-2``, ... behind it.

        The time is UTC, with a ``Z`` behind it, so that the order of names is that of runs.

        Args:
            root: Where runs are kept; made if missing.
            name: What is trained, such as a recipe; may have slashes.
            seed: Seed of the run.
            config: For :meth:`write_config`; the folder appears with this file in it, so that it
                can be resumed from its first moment on.

        Returns:
            The new folder.

        Raises:
            OSError: If it can't be made.
            TypeError: If ``name`` is no string or ``seed`` no whole number.
            ValueError: If ``name`` is empty, absolute or leads out of ``root``, ``seed`` is
                negative or too large, or ``config`` is none.
        """
        path = Path(root, relative_path(name))
        check_seed("seed", seed)
        stem = f"{datetime.now(UTC):%Y%m%d-%H%M%SZ}-seed{seed}"
        with _explained(path):
            path.mkdir(parents=True, exist_ok=True)
            _remove_left_folders(path)
            if config is None:
                return cls(_first_free(path / stem, _make_folder))
            hidden = path / temporary_name(stem)
            hidden.mkdir()
        try:
            cls(hidden).write_config(config)
            with _explained(path):
                return cls(_first_free(path / stem, lambda place: _move_folder(hidden, place)))
        except BaseException:
            shutil.rmtree(hidden, ignore_errors=True)
            raise

    def remove_leftovers(self) -> None:
        """Remove temporary files that a killed process has left here; of a living one, none."""
        remove_leftovers(self.path)

    @property
    def finished(self) -> bool:
        """Whether the final report is there."""
        return self.report_path.exists()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in the folder but what a killed process leaves."""
        return all(is_temporary(path.name) for path in self.path.iterdir())

    @property
    def started(self) -> bool:
        """Whether the folder holds any result of training."""
        files = (self.metrics_path, self.weights_path, self.resume_path, self.report_path)
        return any(path.exists() for path in files)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write ``config.yaml``.

        Args:
            config: Plain values, lists and mappings that YAML gives back as they are.

        Raises:
            OSError: If it can't be written.
            ValueError: If reading it back would not give the same.
        """
        plain = dict(config)
        try:
            content = dump_yaml(plain)
        except (TypeError, ValueError) as error:
            raise ValueError(f"'config' must hold plain values only: {error}") from error
        if parse_yaml(content) != plain or len(content) > _LARGEST_CONFIG:
            raise ValueError(f"'config' would not be the same when read back: {config!r}")
        self._write(self.config_path, lambda file: file.write(content))

    def read_config(self) -> dict[str, Any]:
        """What :meth:`write_config` wrote.

        Returns:
            The mapping.

        Raises:
            OSError: If there is none.
            ValueError: If it is no YAML mapping of plain values, or larger than 256 KiB. It has no
                aliases, and no more than 20 levels.
        """
        content = read_regular_file(self.config_path, most=_LARGEST_CONFIG)
        try:
            config = parse_yaml(content)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.config_path}: {error}") from error
        if not isinstance(config, dict):
            raise ValueError(f"{self.config_path} must hold a mapping, got {config!r:.200}")
        return config

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Write ``environment.json``.

        Args:
            environment: Plain values by name.

        Raises:
            OSError: If it can't be written.
        """
        self._write_json(self.environment_path, environment)

    def write_metrics(self, columns: Sequence[str], rows: Iterable[Sequence[float]]) -> None:
        """Write ``metrics.csv``; floats are written so that they read back exactly.

        Args:
            columns: Names of the columns behind the first, which is the epoch.
            rows: One sequence per epoch, from the first on.

        Raises:
            OSError: If it can't be written.
        """
        numbered = ((epoch, *row) for epoch, row in enumerate(rows, start=1))
        lines = [",".join(("epoch", *columns)), *(",".join(map(repr, row)) for row in numbered)]
        content = "".join(f"{line}\n" for line in lines).encode()
        self._write(self.metrics_path, lambda file: file.write(content))

    def write_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Write ``model.safetensors``.

        Args:
            weights: Tensors by name that share no memory.

        Raises:
            OSError: If it can't be written.
        """
        with _explained(self.weights_path):
            write_weights(self.weights_path, weights)

    def load_weights(self, model: nn.Module) -> None:
        """Put the weights of the selected epoch into a model.

        Args:
            model: A model of the same kind and size; untouched if there is an error.

        Raises:
            OSError: If there is no ``model.safetensors``.
            ValueError: If it is truncated, or names or shapes differ; the text says which.
        """
        weights = read_weights(self.weights_path)
        check_weights(model, weights, source=self.weights_path)
        model.load_state_dict(weights)

    def write_resume(self, state: Mapping[str, Any]) -> None:
        """Write ``resume.pt``.

        Args:
            state: Tensors, plain values, lists and mappings.

        Raises:
            OSError: If it can't be written.
        """
        buffer = io.BytesIO()  # torch.save into a full disk raises no OSError
        torch.save({"format": RESUME_FORMAT, **state}, buffer)
        self._write(self.resume_path, lambda file: file.write(buffer.getbuffer()))

    def read_resume(self) -> dict[str, Any]:
        """What :meth:`write_resume` wrote; code hidden in the file is refused, not executed.

        Returns:
            The state, all tensors on the CPU.

        Raises:
            OSError: If there is none or it can't be read.
            ValueError: If it is truncated, of another format, or holds anything but plain data.
        """
        content = read_regular_file(self.resume_path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns of old pickles before it refuses them
                state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # a broken pickle may raise nearly anything
            # torch's own text recommends to execute the file; it is not repeated here.
            raise ValueError(
                f"{self.resume_path} is truncated or no checkpoint ({len(content)} bytes); "
                f"nothing in it was executed"
            ) from error
        if not isinstance(state, dict) or state.get("format") != RESUME_FORMAT:
            raise ValueError(f"{self.resume_path} must be a checkpoint of format {RESUME_FORMAT}")
        return state

    def write_report(self, report: Report) -> None:
        """Write ``report.json``.

        Args:
            report: The final figures.

        Raises:
            OSError: If it can't be written.
        """
        self._write_json(self.report_path, report.to_dict())

    def read_report(self) -> Report:
        """What :meth:`write_report` wrote.

        Returns:
            The report.

        Raises:
            OSError: If the run is not finished.
            ValueError: If it is no report.
        """
        return read_report(self.report_path)

    def _write_json(self, path: Path, values: Mapping[str, Any]) -> None:
        """Write a mapping as JSON."""
        text = json.dumps(dict(values), indent=2) + "\n"
        self._write(path, lambda file: file.write(text.encode()))

    def _write(self, path: Path, write: Callable[[BinaryIO], object]) -> None:
        """Write a file whole or not at all, with an error that explains."""
        with _explained(path):
            write_atomically(path, write)


def _first_free(path: Path, take: Callable[[Path], bool]) -> Path:
    """The first of ``path``, ``path-2``, ``path-3``, ... that could be taken."""
    place, attempt = path, 1
    while not take(place):
        attempt += 1
        place = path.with_name(f"{path.name}-{attempt}")
    return place


def _make_folder(path: Path) -> bool:
    """Make a folder unless the name is taken; whether it was made."""
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True


def _move_folder(source: Path, target: Path) -> bool:
    """Rename a folder unless the name is taken; whether it was renamed."""
    if os.path.lexists(target):
        return False
    try:
        source.rename(target)
    except OSError:
        if os.path.lexists(target):
            return False  # another run of this second was faster
        raise
    return True


def _remove_left_folders(parent: Path) -> None:
    """Remove folders of :meth:`RunFolder.create` that a process killed long ago has left."""
    for entry in list(os.scandir(parent)):
        if is_temporary(entry.name) and entry.is_dir(follow_symlinks=False):
            with suppress(FileNotFoundError):  # it has got its name meanwhile
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                if age > _LEFT_SECONDS:
                    shutil.rmtree(entry.path, ignore_errors=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say what could not be written, and why, keeping the class and number of the error."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"can't write {path}; the disk may be full or the folder read-only "
            f"({error.strerror or error})",
        ) from error
