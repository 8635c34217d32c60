"""What the forecasts of one instant are scored against: truth, climatology and reference, opened once for all of them.

Owns the instants that a worker keeps open. Keeps only stores of our own, which never change once published, and looks
before every use whether the files are still the same; what is deleted stays readable, and on disk, until the next look.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from msgspec import Struct

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.errors import StoreMissing
from gaia.tasks.defined_tasks.weather.files.grid_axes import grid_of
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore
from gaia.tasks.defined_tasks.weather.files.store.flat_store import FlatStore, StoreStamp, stamp_of
from gaia.tasks.defined_tasks.weather.files.store.open_store import open_store
from gaia.tasks.defined_tasks.weather.scoring.area_weighting import AreaWeighting
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid
from gaia.tasks.defined_tasks.weather.scoring.moments import Field, Yardstick
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import ScoredAgainst

_KEPT = 2
"""Units of two instants come mixed where one is being finished. Of each, a worker maps three stores of 0.3 GB."""


class Baselines:
    """The stores of one instant, on one grid and in the table's units, and a yardstick for every field.

    Raises GridMismatch. `of` gives those of our own stores.
    """

    def __init__(
        self,
        *,
        truth: FieldStore,
        climatology: FieldStore | None,
        reference: FieldStore | None,
        weighting: AreaWeighting = AreaWeighting.CELL,
    ) -> None:
        self.truth, self.climatology, self.reference = truth, climatology, reference
        self._grid = Grid.of(truth.latitude, truth.longitude)
        self.area_weights = self._grid.area_weights(weighting)
        for what, store in (("climatology", climatology), ("reference", reference)):
            if store is not None:
                self.require_same_grid(store, what)
        self.against = ScoredAgainst(
            grid=grid_of(truth.latitude, truth.longitude),
            truth=_identity(truth),
            climatology=None if climatology is None else _identity(climatology),
            reference=None if reference is None else _identity(reference),
        )
        given = [store for store in (truth, climatology, reference) if store is not None]
        self._mapped = all(isinstance(store, FlatStore) for store in given)
        self._yardsticks: dict[FieldId, Yardstick] = {}

    @classmethod
    def of(cls, truth: str, climatology: str | None, reference: str | None, weighting: AreaWeighting) -> Baselines:
        """Those at these paths, kept for the next call; raises what opening a store does, and GridMismatch."""
        wanted = _Wanted(truth=truth, climatology=climatology, reference=reference, weighting=weighting)
        for other, (_, at_opening) in list(_kept.items()):
            if other.stamps() != at_opening:
                del _kept[other]
        if wanted in _kept:
            _kept.move_to_end(wanted)
            return _kept[wanted][0]
        stamps = wanted.stamps()
        baselines = wanted.open()
        if stamps is not None:
            _kept[wanted] = baselines, stamps
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
        return baselines

    def require_same_grid(self, store: FieldStore, what: str) -> None:
        """Raise GridMismatch unless `store` lies on the truth's grid."""
        truth = self.truth
        if np.array_equal(store.latitude, truth.latitude) and np.array_equal(store.longitude, truth.longitude):
            return
        self._grid.require_same(Grid.of(store.latitude, store.longitude), f"the {what} {store.name}")

    def yardstick(self, field: FieldId) -> Yardstick:
        """Of a field, without what climatology or reference lack. Raises MissingField for the truth, NoFiniteTruth.

        Kept where it costs no memory; a field of another store is read into it: all those of a lead come to gigabytes.
        """
        yardstick = self._yardsticks.get(field)
        if yardstick is None:
            yardstick = Yardstick(
                truth=self.truth.read(field),
                climatology=_read_if_there(self.climatology, field),
                reference=_read_if_there(self.reference, field),
                area_weights=self.area_weights,
            )
            if self._mapped:
                self._yardsticks[field] = yardstick
        return yardstick


class _Wanted(Struct, frozen=True, kw_only=True):
    """Which baselines."""

    truth: str
    climatology: str | None
    reference: str | None
    weighting: AreaWeighting

    def stamps(self) -> tuple[StoreStamp | None, ...] | None:
        """By which a change of the files is seen; None if they are not all our own."""
        try:
            return tuple(
                None if path is None else stamp_of(path) for path in (self.truth, self.climatology, self.reference)
            )
        except StoreMissing:
            return None

    def open(self) -> Baselines:
        climatology, reference = (
            None if path is None else open_store(path) for path in (self.climatology, self.reference)
        )
        return Baselines(
            truth=open_store(self.truth), climatology=climatology, reference=reference, weighting=self.weighting
        )


_kept: OrderedDict[_Wanted, tuple[Baselines, tuple[StoreStamp | None, ...]]] = OrderedDict()


def _read_if_there(store: FieldStore | None, field: FieldId) -> Field | None:
    return store.read(field) if store is not None and field in store.fields() else None


def _identity(store: FieldStore) -> str:
    return f"blake3:{store.header.content_digest}" if isinstance(store, FlatStore) else f"path:{store.name}"
