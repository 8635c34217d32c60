"""A process that stands in for validator and miners in the tests of DemoProcesses."""

from __future__ import annotations

import os
import signal
import sys


def main(part: str) -> int:
    """For `fail`: print a last line and end. For `settings`: print the settings it sees. Then wait for a signal.

    Where DemoProcesses ends it, it does not end by itself: a SIGTERM amidst its exit would make coverage, which
    measures it, write its data a second time from within the first, and complain into the log.
    """
    if part == "fail":
        print("gaia: the port is taken", file=sys.stderr)
        return 3
    if part == "settings":
        ours = sorted(name for name in os.environ if name.startswith("GAIA_") or name == "DATABASE_URL")
        print(" ".join(f"{name}={os.environ[name]}" for name in ours), flush=True)
    signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
