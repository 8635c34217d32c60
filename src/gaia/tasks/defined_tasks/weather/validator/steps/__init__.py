"""The eight steps of a run, in order. Each has a file of its name here. Step 8, for all tasks, is in `gaia.validator`.

The demonstration, the documentation and the web pages read `STEPS`; there is no other list. `lifecycle` names the
durable jobs that do the steps. The other files are parts of a step, or work after a run.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class RunStep(NamedTuple):
    """One step of a run."""

    name: str
    """The name of its file: in this package, or in `gaia.validator` for `set_weights`."""
    title: str
    """Its description for people."""


STEPS: Final = (
    RunStep("open_run", "open the run"),
    RunStep("request_forecasts", "request forecasts"),
    RunStep("collect_commitments", "collect commitments"),
    RunStep("freeze_forecast", "freeze manifests"),
    RunStep("verify_forecast", "verify digests"),
    RunStep("score_forecast", "score against the truth"),
    RunStep("combine_scores", "combine scores"),
    RunStep("set_weights", "set weights and read them back"),
)
