"""The rules which requests this miner serves, and when it gives out commitment and forecast. Pure functions."""

from __future__ import annotations

from datetime import datetime, timedelta

from gaia.miner.run_store import CommittedForecast, StoredRun
from gaia.miner.serving.refusals import NoCommitment, NoLongerKept, TooEarly, UnknownChunk, UnservableRequest
from gaia.miner.settings import MinerSettings
from gaia.protocol.forecast_messages import ForecastRequest
from gaia.protocol.run_spec import RunSpec
from gaia.tasks.defined_tasks.weather.variables import VARIABLES

LONGEST_REVEAL = timedelta(days=40)
"""Twice what the subnet asks for. A request must not make the miner keep a forecast for ever."""
_LEVELS_HPA = range(1, 1101)


def check_terms(request: ForecastRequest, settings: MinerSettings, now: datetime) -> None:
    """Raise UnservableRequest for a request that this miner cannot serve."""
    if request.netuid != settings.netuid:
        raise UnservableRequest(f"this miner serves subnet {settings.netuid}, not {request.netuid}")
    if now >= request.commit_deadline:
        raise UnservableRequest(f"the commit deadline {request.commit_deadline.isoformat()} has passed")
    if request.reveal_until - request.commit_deadline > LONGEST_REVEAL:
        raise UnservableRequest(f"a forecast is kept for at most {LONGEST_REVEAL.days} days after its deadline")
    check_spec(request.spec, settings.max_forecast_bytes)


def check_spec(spec: RunSpec, max_bytes: int) -> None:
    """Refuse unknown variables and levels, because names become folders, and more than `max_bytes` of decoded data."""
    for wanted in spec.variables:
        known = VARIABLES.get(wanted.name)
        if known is None or known.on_levels != bool(wanted.levels_hpa):
            raise UnservableRequest(f"{wanted.name[:40]!r} is not a known variable on that kind of levels")
        if not all(level in _LEVELS_HPA for level in wanted.levels_hpa):
            raise UnservableRequest(f"{wanted.name} is asked for at levels outside 1 to 1100 hPa")
    size_bytes = spec.field_bytes * len(spec.fields()) * len(spec.lead_h)
    if size_bytes > max_bytes:
        raise UnservableRequest(f"a forecast of {size_bytes} bytes is more than this miner's {max_bytes}")


def commitment_to_show(run: StoredRun, now: datetime) -> CommittedForecast:
    """The commitment, which may be shown as soon as it exists. Raises NoCommitment, NoLongerKept."""
    if now > run.accepted.request.reveal_until:
        raise NoLongerKept("the reveal of this run is over")
    if run.committed is None:
        raise NoCommitment(run.failure or "the forecast is not ready")
    return run.committed


def forecast_to_open(run: StoredRun, now: datetime) -> CommittedForecast:
    """The forecast, which may be opened after the commit deadline by this miner's clock.

    Raises TooEarly, NoCommitment, NoLongerKept.
    """
    deadline = run.accepted.request.commit_deadline
    if now < deadline:
        raise TooEarly(f"nothing is revealed before the commit deadline {deadline.isoformat()}")
    return commitment_to_show(run, now)


def chunk_key(run: StoredRun, asked: str) -> str:
    """Our own text of the chunk key that a caller sent, so that the caller's text never becomes a path.

    Raises UnknownChunk.
    """
    key = run.chunk_keys.get(asked)
    if key is None:
        raise UnknownChunk("the run's specification has no chunk of that name")
    return key
