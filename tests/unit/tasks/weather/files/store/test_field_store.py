"""Decoded fields in memory behave as any store."""

from __future__ import annotations

import numpy as np
import pytest

from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.tasks.defined_tasks.weather.files.errors import MissingField
from gaia.tasks.defined_tasks.weather.files.store.field_store import MemoryStore


def test_memory_store_names_what_its_file_had() -> None:
    z500, t2m = FieldId("z", 500), FieldId("2t")
    values = {z500: np.zeros((7, 12), dtype=np.float32)}
    store = MemoryStore("file", GridSpec.global_grid(30.0), values, available=(z500, t2m))
    assert store.fields() == (z500,)
    assert (store.latitude.size, store.longitude.size) == (7, 12)
    with pytest.raises(MissingField, match="file has no field t850; it has z500, 2t"):
        store.read(FieldId("t", 850))
