"""``graphattn info``."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version

__all__ = ["Info"]

_PACKAGES = ("graphattn", "torch", "torch-geometric", "lightning-fabric", "ogb")


@dataclass(frozen=True)
class Info:
    """Tell versions, devices, and which implementation of each op runs here and why."""

    def run(self) -> int:
        """Print them."""
        import pandas as pd
        import torch

        from graphattn.ops._dispatch import ENVIRONMENT_SWITCH, choices

        print(f"Python {platform.python_version()} on {platform.platform()}")
        for package in _PACKAGES:
            print(f"{package} {version(package)}")
        devices = ["cpu"]
        print(f"CPU: {torch.get_num_threads()} threads")
        if torch.cuda.is_available():
            devices.append("cuda")
            for index in range(torch.cuda.device_count()):
                print(f"GPU {index}: {torch.cuda.get_device_name(index)}")
        else:
            print("GPU: none that torch can use")
        rows = [choice for device in devices for choice in choices(device)]
        print()
        print(pd.DataFrame(rows).to_string(index=False))
        print(f"\n{ENVIRONMENT_SWITCH}=reference, cpu or gpu asks for one implementation.")
        return 0
