"""Whether the set-up works anywhere: `make setup-check`. See lock_resolution.py and fresh_environments.py."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from fresh_environments import check_everywhere, found_pythons
from installers import SetupFailed, fetched_installers
from lock_file import BadLock
from lock_resolution import check_locks


def main() -> int:
    """0: it works."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only see that old and new installers take the locks")
    parser.add_argument("--python", action="append", help="a Python to install on; otherwise those on the PATH")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="gaia-setup-") as name:
        folder = Path(name)
        try:
            check_locks(folder / "locks", fetched_installers(folder))
        except (SetupFailed, BadLock) as error:
            print(f"set-up: {error}", file=sys.stderr)
            return 1
        return 0 if asked.quick or check_everywhere(folder, asked.python or found_pythons()) else 1


if __name__ == "__main__":
    sys.exit(main())
