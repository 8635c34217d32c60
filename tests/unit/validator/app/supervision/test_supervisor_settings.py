"""Where things lie, and that a path is never too long for a socket."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from gaia.validator.app.supervision.supervisor_settings import SupervisorSettings


def test_what_is_printed_as_json_is_what_is_read() -> None:
    settings = SupervisorSettings(data_dir="/srv/gaia", compute_workers=3, metrics_port=0)
    assert msgspec.json.decode(msgspec.json.encode(settings), type=SupervisorSettings) == settings


def test_a_name_that_does_not_exist_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `worker`"):
        msgspec.json.decode(b'{"data_dir": "/srv", "worker": 2}', type=SupervisorSettings)


def test_sockets_lie_in_the_data_folder_when_its_path_is_short() -> None:
    settings = SupervisorSettings(data_dir="/srv/gaia")
    assert settings.engine_socket == Path("/srv/gaia/run/engine/compute.sock")
    assert settings.postgres_socket_dir == Path("/srv/gaia/postgres-socket")


def test_sockets_of_a_long_path_lie_elsewhere_always_in_the_same_place_and_apart() -> None:
    long, other = ("/srv/" + 10 * "folder-of-great-length/" + name for name in ("a", "b"))
    settings = SupervisorSettings(data_dir=long)
    assert settings.engine_socket == SupervisorSettings(data_dir=long).engine_socket
    folders = {
        settings.engine_socket.parent,
        settings.postgres_socket_dir,
        SupervisorSettings(data_dir=other).engine_socket.parent,
    }
    assert len(folders) == 3
    assert all(len(bytes(folder)) < 90 for folder in folders)


def test_what_runs_takes_up_what_it_can_and_names_the_rest() -> None:
    present = SupervisorSettings(
        data_dir="/srv/a", grace_s=30.0, given={"GAIA_DATA_DIR": "/srv/a", "GAIA_DRAIN_GRACE_S": "30.0", "X": "1"}
    )
    told = SupervisorSettings(
        data_dir="/srv/b", grace_s=9.0, given={"GAIA_DATA_DIR": "/srv/b", "GAIA_DRAIN_GRACE_S": "9.0", "X": "1"}
    )
    change = present.taking_up(told)
    assert (change.settings.data_dir, change.settings.grace_s) == ("/srv/a", 9.0)
    assert change.taken_up == ("GAIA_DRAIN_GRACE_S",)
    assert change.need_restart == ("GAIA_DATA_DIR",)
    for_children = change.settings.for_children()
    assert (for_children["GAIA_DATA_DIR"], for_children["GAIA_DRAIN_GRACE_S"]) == ("/srv/a", "9.0")
    assert change.settings.taking_up(told).need_restart == ("GAIA_DATA_DIR",)  # it still does


def test_a_new_password_is_named_though_it_is_not_shown() -> None:
    urls = ("postgresql://me:old@host/gaia", "postgresql://me:new@host/gaia")
    present, told = (SupervisorSettings(data_dir="/srv", database_url=url) for url in urls)
    change = present.taking_up(told)
    assert change.need_restart == ("DATABASE_URL",)
    assert change.settings.database_url == urls[0]
