"""Decides which addresses a validator may call, so that no miner can make it call machines in its own network.

A name is resolved here, its addresses are checked, and exactly these are called. So nobody can change them between
check and use. No HTTP here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from gaia.protocol.messages import printable
from gaia.validator.miners.failures import EndpointRefused

_LONGEST_ENDPOINT = 256
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?!0x|[0-9]+\.?$){_LABEL}\.?")
"""A host name. Its last label must not be a number, because that would be an address in a rare form such as 0x7f.1."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_endpoint(endpoint: str, *, allow_private: bool) -> URL:
    """The base URL of a miner's server. It may have only scheme, host and port. Raises EndpointRefused.

    >>> parse_endpoint("http://8.8.8.8:8091", allow_private=False)
    URL('http://8.8.8.8:8091')
    """
    shown = printable(endpoint)
    if len(endpoint) > _LONGEST_ENDPOINT:
        raise EndpointRefused(f"the endpoint is longer than {_LONGEST_ENDPOINT} characters: {shown}")
    try:
        url = URL(endpoint)
        host, port = url.raw_host, url.port
    except ValueError as error:
        raise EndpointRefused(f"not a URL: {shown}") from error
    if url.scheme not in ("http", "https") or not host or not port or "%" in endpoint:
        raise EndpointRefused(f"not an http or https URL with a host and a port: {shown}")
    if url.user is not None or url.password is not None or url.path not in ("", "/") or url.raw_query_string:
        raise EndpointRefused(f"an endpoint is only scheme, host and port: {shown}")
    address = _address_in(host)
    if address is None and not _NAME.fullmatch(host):
        raise EndpointRefused(f"neither an address nor a host name: {shown}")
    if address is not None and not allow_private and not is_public(address):
        raise EndpointRefused(f"not a public address: {shown}")
    return url.origin()


def is_public(address: IpAddress) -> bool:
    """Whether an address is a public one of the internet. Also checks addresses inside IPv6 transition formats."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


class GuardedResolver(AbstractResolver):
    """Resolves names, and drops addresses that may not be called. Its own threads keep slow name servers apart."""

    def __init__(self, *, allow_private: bool, threads: int = 4) -> None:
        self._allow_private = allow_private
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="miner-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host` that may be called. The caller must set a timeout.

        Raises EndpointRefused if `host` has only other addresses, and OSError if it has none.
        """
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        )
        allowed = [
            ResolveResult(
                hostname=host, host=str(sockaddr[0]), port=port, family=kind, proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, sockaddr in found
            if self._allow_private or is_public(ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]))
        ]  # fmt: skip
        if not allowed:
            raise EndpointRefused(f"{printable(host)} has no public address")
        return allowed

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _address_in(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
