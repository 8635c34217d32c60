"""What the decode units say, and a run planned from an inventory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from gaia.protocol.run_spec import FieldId, GridSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole
from gaia.tasks.defined_tasks.weather.files.errors import BadSource
from gaia.tasks.defined_tasks.weather.files.inventory import Inventory
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef
from gaia.tasks.defined_tasks.weather.supply.decode_payloads import DecodePayload, cache_path, plan_from_truth

INIT = datetime(2017, 1, 1, tzinfo=UTC)
FIELDS = (FieldId("t", 850), FieldId("z", 850), FieldId("z", 500), FieldId("2t"))
SOURCE = SourceRef(format="grib", path="/data/a.grib", member=0)


def inventory(hours: tuple[float, ...], fields: tuple[FieldId, ...] = FIELDS) -> Inventory:
    times = tuple(INIT + timedelta(hours=h) for h in hours)
    return Inventory(times=times, fields=fields, grid=GridSpec.global_grid(3.0))


def test_run_covers_all_times_in_the_tables_order() -> None:
    init_time, spec = plan_from_truth(inventory((0, 12, 24, 36)), "a.grib")
    assert init_time == INIT
    assert spec.lead_h == spec.scored_lead_h == (12, 24, 36)
    assert spec.gate_lead_h is None
    assert spec.variables == (
        VariableSpec(name="2t"),
        VariableSpec(name="z", levels_hpa=(500, 850)),
        VariableSpec(name="t", levels_hpa=(850,)),
    )


@pytest.mark.parametrize(
    ("held", "cause"),
    [
        (inventory((0,)), r"a\.grib holds 1 time\(s\); a run needs"),
        (inventory((0, 6), fields=()), r"a\.grib has no known field .* 2t, msl"),
        (inventory((0, 0.5)), "not whole hours"),
        (inventory((0.5, 1.5)), "not whole hours"),
    ],
)
def test_truth_that_makes_no_run_is_refused_in_one_line(held: Inventory, cause: str) -> None:
    with pytest.raises(BadSource, match=cause) as caught:
        plan_from_truth(held, "a.grib")
    assert "\n" not in str(caught.value)


def test_cache_place_depends_on_everything_that_changes_the_content() -> None:
    def place(
        source: SourceRef = SOURCE,
        role: SourceRole = SourceRole.TRUTH,
        hour: int = 0,
        lead_h: int = 12,
        digest: str = "d",
    ) -> Path:
        return cache_path(
            "/cache",
            source,
            role,
            valid_time=INIT + timedelta(hours=hour),
            init_time=INIT,
            lead_h=lead_h,
            spec_digest=digest,
        )

    places = [
        place(),
        place(source=msgspec.structs.replace(SOURCE, member=1)),
        place(role=SourceRole.CLIMATOLOGY),
        place(hour=6),
        place(digest="e"),
        place(role=SourceRole.REFERENCE),
        place(role=SourceRole.REFERENCE, lead_h=24),
    ]
    assert len(set(places)) == len(places)
    assert place() == place()
    with pytest.raises(BadSource, match="init_time and lead_h"):
        cache_path("/cache", SOURCE, SourceRole.REFERENCE, valid_time=INIT, spec_digest="d")


def test_payload_survives_messagepack_and_needs_a_timezone() -> None:
    _, spec = plan_from_truth(inventory((0, 12)), "a.grib")
    asked = DecodePayload(source=SOURCE, role=SourceRole.TRUTH, valid_time=INIT, spec=spec, destination="/c")
    raw = msgspec.msgpack.decode(msgspec.msgpack.encode(msgspec.to_builtins(asked)))
    assert msgspec.convert(raw, DecodePayload) == asked
    raw["valid_time"] = "2017-01-01T00:00:00"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(raw, DecodePayload)
