"""The folder that holds everything about a run."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import torch
import yaml
from torch import Tensor, nn

from graphattn._core.files import write_atomically
from graphattn.train.report import Report
from graphattn.train.weights import check_weights, read_weights, write_weights

__all__ = ["RunFolder"]

RESUME_FORMAT = 1


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
    def create(cls, root: str | os.PathLike[str], name: str, seed: int) -> RunFolder:
        """Make the folder ``root/<name>/<time>-seed<seed>``, or one with ``-2``, ... behind it.

        Args:
            root: Where runs are kept; made if missing.
            name: What is trained, such as a recipe; may have slashes.
            seed: Seed of the run.

        Returns:
            The new, empty folder.

        Raises:
            OSError: If it can't be made.
            ValueError: If ``name`` is empty, absolute or leads out of ``root``.
        """
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or PurePosixPath(name).is_absolute():
            raise ValueError(f"'name' must be a relative path below 'root', got {name!r}")
        parent = Path(root).joinpath(*parts)
        stem = f"{datetime.now():%Y%m%d-%H%M%S}-seed{seed}"
        path, attempt = parent / stem, 1
        with _explained(parent):
            parent.mkdir(parents=True, exist_ok=True)
            while not _make_folder(path):
                attempt += 1
                path = parent / f"{stem}-{attempt}"
        return cls(path)

    @property
    def finished(self) -> bool:
        """Whether the final report is there."""
        return self.report_path.exists()

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
        try:
            text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        except yaml.YAMLError as error:
            raise ValueError(f"'config' must hold plain values only: {error}") from error
        if yaml.safe_load(text) != dict(config):
            raise ValueError(f"'config' would not be the same when read back: {config!r}")
        self._write(self.config_path, lambda file: file.write(text.encode()))

    def read_config(self) -> dict[str, Any]:
        """What :meth:`write_config` wrote.

        Returns:
            The mapping.

        Raises:
            OSError: If there is none.
            ValueError: If it is no YAML mapping.
        """
        try:
            config = yaml.safe_load(self.config_path.read_bytes())
        except yaml.YAMLError as error:
            raise ValueError(f"{self.config_path} is no valid YAML: {error}") from error
        if not isinstance(config, dict):
            raise ValueError(f"{self.config_path} must hold a mapping, got {config!r}")
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
        content = self.resume_path.read_bytes()
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
        try:
            return Report.from_dict(json.loads(self.report_path.read_bytes()))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.report_path} is no report: {error}") from error

    def _write_json(self, path: Path, values: Mapping[str, Any]) -> None:
        """Write a mapping as JSON."""
        text = json.dumps(dict(values), indent=2) + "\n"
        self._write(path, lambda file: file.write(text.encode()))

    def _write(self, path: Path, write: Callable[[BinaryIO], object]) -> None:
        """Write a file whole or not at all, with an error that explains."""
        with _explained(path):
            write_atomically(path, write)


def _make_folder(path: Path) -> bool:
    """Make a folder unless the name is taken; whether it was made."""
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True


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
