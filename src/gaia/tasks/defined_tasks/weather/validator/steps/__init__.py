"""The eight steps of a run, in order. Each has a file of its name here; step 8 is the validator's own, for all tasks.

The demonstration, the documents and the pages read `STEPS`; no other list of them exists. `lifecycle` names the durable
jobs that carry the steps out. The other files are parts of a step or what follows a run.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class RunStep(NamedTuple):
    """One step of a run."""

    name: str
    """The file that does it: here, or for `set_weights` in `gaia.validator`."""
    title: str
    """What it does, for people."""


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
