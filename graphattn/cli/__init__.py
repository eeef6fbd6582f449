"""The command line."""

from graphattn.cli.main import main

__all__ = ["main"]
