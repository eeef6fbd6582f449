"""``graphattn``: one command per file, parsed by tyro; torch loads when a command runs."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import tyro

import graphattn
from graphattn._core.text import printable
from graphattn.cli.bench import Bench
from graphattn.cli.calibrate import Calibrate
from graphattn.cli.datasets import Datasets
from graphattn.cli.eval import Eval
from graphattn.cli.info import Info
from graphattn.cli.results import Results
from graphattn.cli.train import Train, default_for

__all__ = ["main"]

_BREAKS = "\n"
_DESCRIPTION = """Graph attention: train, evaluate and compare.

    graphattn train                             the embedded graph, in seconds
    graphattn train gat/cora --seeds 0-9        a recipe, beside its published number
    graphattn train gat --dataset cora --model.heads 4
    graphattn calibrate runs/gat/cora/...       probabilities that can be trusted
    graphattn results runs                      the table of what you have run
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Words after ``graphattn``; those of the process if ``None``.

    Returns:
        Exit status: 0, 2 for input that is wrong, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments == ["--version"]:
        print(f"graphattn {graphattn.__version__}")
        return 0
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("graphattn").setLevel(logging.INFO)
    try:
        return _parse(arguments or ["--help"]).run()
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; Python would complain while closing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, FloatingPointError) as error:
        # Names of files and what stands in them may hold commands for the terminal.
        print(f"graphattn: {printable(str(error), keep=_BREAKS)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parse(arguments: list[str]) -> Train | Eval | Calibrate | Results | Datasets | Bench | Info:
    # What `train` offers depends on the recipe or method that is named.
    default = default_for(arguments[1:]) if arguments[0] == "train" else Train()
    return tyro.cli(
        Annotated[Train, tyro.conf.subcommand("train", default=default)]
        | Annotated[Eval, tyro.conf.subcommand("eval")]
        | Annotated[Calibrate, tyro.conf.subcommand("calibrate")]
        | Annotated[Results, tyro.conf.subcommand("results")]
        | Annotated[Datasets, tyro.conf.subcommand("datasets")]
        | Annotated[Bench, tyro.conf.subcommand("bench")]
        | Annotated[Info, tyro.conf.subcommand("info")],
        prog="graphattn",
        description=_DESCRIPTION,
        args=arguments,
    )
