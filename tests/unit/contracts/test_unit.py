"""Units of work as they cross the channel: plain data in, plain data out, errors included."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gaia.contracts.errors import Fault
from gaia.contracts.unit import ResultUnit, UnitError, UnitFailed, WorkUnit, value_of


def there_and_back(sent: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=type(sent))


@pytest.mark.parametrize(
    "sent",
    [
        WorkUnit(handler="weather.verify", payload={"lead_h": [12], "spec": {"grid": None}}, priority=2),
        ResultUnit(unit_id="u", handler="h", value={"rmse": 1.5}, attempt=2, duration_s=0.25, worker_slot=3),
        ResultUnit(unit_id="u", handler="h", error=UnitError(code="c", message="m", fault=Fault.SOURCE)),
    ],
)
def test_everything_survives_the_channel(sent: Any) -> None:
    assert there_and_back(sent) == sent


def test_every_unit_has_a_name_of_its_own() -> None:
    assert WorkUnit(handler="h", payload={}).unit_id != WorkUnit(handler="h", payload={}).unit_id


def test_the_value_of_a_success_is_its_value() -> None:
    assert value_of(ResultUnit(unit_id="u", handler="h", value={"a": 1})) == {"a": 1}
    assert value_of(ResultUnit(unit_id="u", handler="h")) == {}


def test_the_value_of_a_failure_is_its_error_raised() -> None:
    result = ResultUnit(
        unit_id="u", handler="h", error=UnitError(code="non_finite_value", message="a NaN", fault=Fault.MINER)
    )
    assert not result.ok
    with pytest.raises(UnitFailed, match="a NaN") as caught:
        value_of(result)
    assert caught.value.fault is Fault.MINER
