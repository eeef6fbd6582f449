"""Random numbers that are a hash of counters, the same in every implementation.

The hash is the sequence of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", 2014), nested: number ``c`` of the sequence that starts at ``key`` is
``mix(key + (c + 1) * 0x9E3779B97F4A7C15)`` in arithmetic modulo :math:`2^{64}`, and serves as a key
in its turn. In C++ it is ``child`` of ``sample.cpp``.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["below", "children", "combine"]

_GOLDEN = 0x9E3779B97F4A7C15
_FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_MASK = 2**64 - 1


def combine(seed: int, *counters: int) -> int:
    """Hash a seed and counters to a number in ``[0, 2**64)``.

    Args:
        seed: A number in ``[0, 2**64)``.
        counters: Numbers from 0, such as an epoch and a batch.

    Example:
        >>> combine(0) == combine(0, 0), combine(1, 2) == combine(1, 2)
        (False, True)
    """
    key = _mix(seed)
    for counter in counters:
        key = _mix((key + (counter + 1) * _GOLDEN) & _MASK)
    return key


def children(key: Tensor | int, counter: Tensor) -> Tensor:
    """Number ``counter`` of the sequences that start at ``key``.

    Args:
        key: A number in ``[0, 2**64)``, or such numbers as the bits of ``int64``.
        counter: Numbers from 0, ``int64``; broadcast with ``key``.

    Returns:
        Bits of 64-bit numbers, ``int64``.
    """
    key = _signed(key) if isinstance(key, int) else key
    z = key + (counter + 1) * _signed(_GOLDEN)  # products of int64 wrap, as they must
    z = (z ^ _shift(z, 30)) * _signed(_FACTORS[0])
    z = (z ^ _shift(z, 27)) * _signed(_FACTORS[1])
    return z ^ _shift(z, 31)


def below(bits: Tensor, count: Tensor) -> Tensor:
    """Uniform numbers in ``[0, count)``: ``count`` times the 63 high bits over :math:`2^{63}`.

    Args:
        bits: Bits of 64-bit numbers, ``int64``.
        count: Numbers in ``[1, 2**31)``, ``int64``; broadcast with ``bits``.
    """
    high, low = _shift(bits, 33), _shift(bits, 1) & 0xFFFFFFFF
    return (high * count + ((low * count) >> 32)) >> 31


def _mix(z: int) -> int:
    """Finaliser of SplitMix64."""
    z = ((z ^ (z >> 30)) * _FACTORS[0]) & _MASK
    z = ((z ^ (z >> 27)) * _FACTORS[1]) & _MASK
    return z ^ (z >> 31)


def _shift(z: Tensor, places: int) -> Tensor:
    """Shift to the right without the sign; torch's own shift of ``int64`` repeats it."""
    return (z >> places) & ((1 << (64 - places)) - 1)


def _signed(z: int) -> int:
    """The ``int64`` with the same bits."""
    return z - (1 << 64) if z >> 63 else z
