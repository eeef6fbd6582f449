"""What a run ran on."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torch_geometric

import graphattn

__all__ = ["describe_environment", "git_revision"]


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Versions, device and date, as JSON can hold them.

    Args:
        device: The device that trains.

    Returns:
        Plain values by name; ``git_revision`` is ``None`` outside a checkout.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "graphattn": graphattn.__version__,
        "git_revision": git_revision(Path(graphattn.__file__).parent),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_geometric": torch_geometric.__version__,
        "platform": platform.platform(),
        "device": str(device),
        "device_name": name,
        "threads": torch.get_num_threads(),
    }


def git_revision(package: Path) -> str | None:
    """The commit a package is at, when its folder stands at the top of a git checkout.

    Args:
        package: Folder of the package.

    Returns:
        The hash, with ``-dirty`` behind it when tracked files were changed; ``None`` when the
        folder is installed elsewhere (inside another project's checkout, say) or git is missing.
    """
    top = _git(package, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != package.resolve().parent:
        return None
    return _git(package, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command, or ``None`` if there is no git or it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
