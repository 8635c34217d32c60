"""The same digits for any number of workers and any order: real handlers in real processes, from forecasts to pay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from gaia.contracts.ids import Hotkey, RunId
from gaia.contracts.unit import WorkUnit, value_of
from gaia.tasks.defined_tasks.weather.files.store.flat_store import write_flat_store
from gaia.tasks.defined_tasks.weather.forecast.forecast_writer import ForecastWriter
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.policy.window import RunOutcome, window_scores
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import (
    ClonesPayload,
    Day1Payload,
    Era5Payload,
    ForecastRef,
)
from gaia.validator.app.compute.process_pool import ProcessPool
from gaia.validator.weights import emission_weights
from tests.support.small_forecast import INIT_TIME, RUN_ID, SPEC, freeze, smooth_field

pytestmark = pytest.mark.processes

_HANDLERS = "weather"
_MINERS = [Hotkey(f"miner-{number}") for number in range(4)]
_LEAD_H = 24


def _noisy(seed: int, size: float, lead_h: int = _LEAD_H) -> list[NDArray[np.float32]]:
    """Every field of the weather with noise, so that no sum is a round number."""
    rng = np.random.default_rng((seed, lead_h))
    noise = [rng.normal(0.0, size, SPEC.grid.shape) for _ in SPEC.fields()]
    return [
        np.asarray(smooth_field(f, lead_h) + n, dtype=np.float32) for f, n in zip(SPEC.fields(), noise, strict=True)
    ]


def _flat(path: Path, values: list[NDArray[np.float32]]) -> str:
    write_flat_store(
        path, grid=SPEC.grid, valid_time=INIT_TIME, fields=SPEC.fields(), data=np.stack(values), source="a test"
    )
    return str(path)


def _forecast(folder: Path, number: int) -> ForecastRef:
    hotkey = _MINERS[number]
    writer = ForecastWriter(folder / hotkey, SPEC, INIT_TIME)
    for _, field, lead_h in SPEC.chunks():
        writer.write(field, lead_h, _noisy(number, 1.0 + number, lead_h)[SPEC.fields().index(field)])
    frozen = freeze(folder / hotkey, writer.finish(), SPEC)
    return ForecastRef(hotkey=hotkey, path=str(frozen.path), manifest_digest=frozen.manifest_digest)


def _units(folder: Path) -> list[WorkUnit]:
    """Gate and lead of every miner, and the search for clones."""
    forecasts = tuple(_forecast(folder, number) for number in range(len(_MINERS)))
    stores = {
        "truth_path": _flat(folder / "truth", _noisy(100, 0.5)),
        "climatology_path": _flat(folder / "climatology", _noisy(101, 30.0)),
        "reference_path": _flat(folder / "reference", _noisy(102, 4.0)),
    }
    units = []
    for one in forecasts:
        for kind, handler in ((Day1Payload, "weather.score.day1"), (Era5Payload, "weather.score.era5")):
            payload = kind(
                run_id=RUN_ID, hotkey=one.hotkey, spec=SPEC, policy=DEFAULT_POLICY, lead_h=_LEAD_H,
                forecast_path=one.path, manifest_digest=one.manifest_digest, **stores,
            )  # fmt: skip
            units.append(WorkUnit(handler=handler, payload=msgspec.to_builtins(payload)))
    search = ClonesPayload(
        run_id=RUN_ID, spec=SPEC, policy=DEFAULT_POLICY, lead_h=_LEAD_H, forecasts=forecasts,
        reference_path=stores["reference_path"],
    )  # fmt: skip
    return [*units, WorkUnit(handler="weather.clones", payload=msgspec.to_builtins(search))]


async def _computed(units: Sequence[WorkUnit], workers: int) -> dict[str, Any]:
    """Unit -> its result."""
    async with ProcessPool(_HANDLERS, compute_workers=workers) as pool:
        results = await asyncio.wait_for(asyncio.gather(*map(pool.run, units)), 120.0)
    return {unit.unit_id: value_of(result) for unit, result in zip(units, results, strict=True)}


def _pay(units: Sequence[WorkUnit], values: dict[str, Any]) -> dict[Hotkey, float]:
    """From the lead scores, in the order in which they came, to the emission."""
    scores = {
        Hotkey(unit.payload["hotkey"]): {_LEAD_H: values[unit.unit_id]["lead_score"]}
        for unit in units
        if unit.handler == "weather.score.era5"
    }
    run = RunOutcome(run_id=RunId("r"), asked=frozenset(scores), due_lead_h=frozenset({_LEAD_H}), lead_scores=scores)
    return emission_weights({hotkey: found.score for hotkey, found in window_scores([run], DEFAULT_POLICY).items()})


async def test_one_worker_in_order_and_three_in_reverse_give_the_same_digits(tmp_path: Path) -> None:
    units = _units(tmp_path)
    turned = units[::-1]

    alone, many = await _computed(units, 1), await _computed(turned, 3)

    assert alone == many  # floats, compared exactly
    assert len({values["lead_score"] for values in alone.values() if "lead_score" in values}) == len(_MINERS)
    pay = _pay(units, alone)
    assert pay == _pay(turned, many)
    assert sorted(pay, key=lambda hotkey: -pay[hotkey]) == _MINERS
