"""A process that stands in for validator and miners in the tests of the demonstration's stage."""

from __future__ import annotations

import os
import signal
import sys


def main(part: str) -> int:
    """`wait` for a signal, `fail` with last words, or say the `settings` that it sees."""
    if part == "wait":
        signal.pause()
    if part == "fail":
        print("gaia: the port is taken", file=sys.stderr)
        return 3
    ours = sorted(name for name in os.environ if name.startswith("GAIA_") or name == "DATABASE_URL")
    print(" ".join(f"{name}={os.environ[name]}" for name in ours))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
