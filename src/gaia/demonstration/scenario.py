"""What the demonstration forecasts: the embedded world, or a file of real analyses."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from gaia.demonstration.demo_miners import REAL_CAST, TWIN_CAST, DemoMiner
from gaia.protocol.run_spec import GridSpec, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole
from gaia.tasks.defined_tasks.weather.supply.catalogue import SourceRef, SourceSet, parse_source
from gaia.tasks.defined_tasks.weather.supply.decode import decode, take_inventory
from gaia.tasks.defined_tasks.weather.supply.decode_payloads import DecodePayload, InventoryPayload, plan_from_truth
from gaia.tasks.defined_tasks.weather.supply.embedded import build_archive

TWIN_INIT_TIME = datetime(2020, 1, 15, 12, tzinfo=UTC)
_WORLD_SEED = 57

TWIN_SPEC = RunSpec(
    variables=(
        VariableSpec(name="2t"),
        VariableSpec(name="msl"),
        VariableSpec(name="10u"),
        VariableSpec(name="10v"),
        VariableSpec(name="z", levels_hpa=(500, 850)),
        VariableSpec(name="t", levels_hpa=(500, 850)),
        VariableSpec(name="u", levels_hpa=(500,)),
        VariableSpec(name="v", levels_hpa=(500,)),
    ),
    lead_h=tuple(range(12, 241, 12)),
    scored_lead_h=tuple(range(24, 241, 24)),
    gate_lead_h=12,
    grid=GridSpec.global_grid(3.0),
)


class Scenario(Struct, frozen=True, kw_only=True):
    """A run to be played."""

    init_time: datetime
    spec: RunSpec
    sources: SourceSet
    cast: tuple[DemoMiner, ...]

    @property
    def analysis(self) -> SourceRef:
        """Where the miners find their initial state."""
        return self.sources.truth


def twin_scenario(data_dir: Path) -> Scenario:
    """Build the embedded world in `data_dir` (some seconds), or find it there."""
    archive = data_dir / "world"
    build_archive(archive, TWIN_SPEC, TWIN_INIT_TIME, _WORLD_SEED)
    source = SourceRef(format="archive", path=str(archive))
    return Scenario(
        init_time=TWIN_INIT_TIME,
        spec=TWIN_SPEC,
        sources=SourceSet(truth=source, reference=source, climatology=source),
        cast=TWIN_CAST,
    )


def real_scenario(truth: str, member: int | None, climatology: str | None) -> Scenario:
    """Plan a run over everything that a file of analyses holds; raises what is wrong with the file."""
    source = parse_source(truth)
    if member is not None:
        source = msgspec.structs.replace(source, member=member)
    init_time, spec = plan_from_truth(take_inventory(InventoryPayload(source=source)), str(source.path))
    normal = None if climatology is None else parse_source(climatology)
    if normal is not None:
        _try_climatology(normal, init_time + timedelta(hours=spec.lead_h[0]), spec)
    return Scenario(
        init_time=init_time,
        spec=spec,
        sources=SourceSet(truth=source, climatology=normal),
        cast=REAL_CAST,
    )


def _try_climatology(source: SourceRef, valid_time: datetime, spec: RunSpec) -> None:
    """Read one instant of it, as the scoring will; raises what is wrong with it."""
    with tempfile.TemporaryDirectory(prefix="gaia-") as folder:
        decode(
            DecodePayload(
                source=source,
                role=SourceRole.CLIMATOLOGY,
                valid_time=valid_time,
                spec=spec,
                destination=str(Path(folder) / "climatology"),
            )
        )
