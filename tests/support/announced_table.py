"""The table of `announced_import`, apart from it: a worker imports the table first."""

from __future__ import annotations

HANDLERS = {
    "announced": "tests.support.announced_import:announced",
    "import_fails": "tests.support.no_such_module:handler",
}
