"""Whether Triton is here, and whether it compiles its kernels or interprets them."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

__all__ = ["interprets", "why_missing"]


@cache
def why_missing() -> str | None:
    """Why the Triton kernels can't be had, in words; ``None`` when they can."""
    return None if find_spec("triton") else "triton is not installed"


@cache
def interprets() -> bool:
    """Whether kernels run in Triton's interpreter, on tensors of the CPU.

    They do if ``TRITON_INTERPRET=1`` was set when triton was imported, which torch does at times.
    """
    if why_missing() is not None:
        return False
    import triton.language
    from triton.runtime.jit import JITFunction

    # Triton's own helpers become one or the other with the import; ours must be of the same kind.
    return not isinstance(triton.language.sum, JITFunction)
