"""A stand-in for the way to PostgreSQL: passes everything on, and can say the server's farewell without hanging up.

What a client sees of a server that ends its connection comes in two parts, the farewell and the end of the stream;
between them a client may be asked for something.
"""

from __future__ import annotations

import asyncio
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_PORT = ".s.PGSQL.5432"
_FAREWELL = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"


class PostgresRelay:
    """`dsn` leads through it. Build with `relayed`."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._clients: list[asyncio.StreamWriter] = []

    def say_farewell(self) -> None:
        """Tell every connected client that its connection ends, and let it stand."""
        for client in self._clients:
            client.write(b"E" + struct.pack("!I", 4 + len(_FAREWELL)) + _FAREWELL)

    async def take(self, target: Path, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Carry one client's bytes to the socket `target`, and back."""
        server_reader, server = await asyncio.open_unix_connection(target)
        self._clients.append(client)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_carry(reader, server))
                both.create_task(_carry(server_reader, client))
        finally:
            self._clients.remove(client)


@asynccontextmanager
async def relayed(dsn: str) -> AsyncIterator[PostgresRelay]:
    """A relay before the server at `dsn`, which listens on a Unix socket."""
    host = parse_qs(urlsplit(dsn).query)["host"][0]
    with tempfile.TemporaryDirectory(prefix="gaia-relay-") as folder:
        relay = PostgresRelay(dsn.replace(host, folder))
        async with await asyncio.start_unix_server(
            lambda reader, client: relay.take(Path(host) / _PORT, reader, client), Path(folder) / _PORT
        ):
            yield relay


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
