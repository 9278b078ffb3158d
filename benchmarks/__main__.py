"""`python -m benchmarks NAME`: each benchmark is one command."""

from __future__ import annotations

import sys

from benchmarks import prepare, read, real_data

BENCHMARKS = {"prepare": prepare.main, "read": read.main, "real-data": real_data.main}


def main() -> int:
    names = ", ".join(BENCHMARKS)
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
        print(f"usage: python -m benchmarks NAME [options]; NAME is one of: {names}")
        return 2
    BENCHMARKS[sys.argv[1]](sys.argv[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
