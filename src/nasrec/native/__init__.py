"""Kernels in C for what other libraries do in many steps, compiled by the machine's C compiler.

They are optional: every caller has the same computation in torch, NumPy or polars, for machines
without a compiler, other devices and other types. Models' results agree to rounding (`tests/nn`),
data to the bit (`tests/data`). The first use compiles (seconds) into the user's cache folder; later
processes load what is there.

`NASREC_NATIVE=off` does without; `CC` names the compiler.
"""

from __future__ import annotations

from nasrec.native.build import library
from nasrec.native.calls import added, address, in_parts, run, usable

__all__ = ["added", "address", "in_parts", "library", "run", "usable"]
