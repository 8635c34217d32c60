"""Which endpoints a validator may call."""

from __future__ import annotations

import ipaddress

import pytest

from gaia.validator.miners.endpoints import GuardedResolver, is_public, parse_endpoint
from gaia.validator.miners.failures import EndpointRefused


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://8.8.8.8:8091",
        "https://miner-1.example.org",
        "http://localhost.:1",
        "http://[2606:4700:4700::1111]:80",
        "http://1.1.1.1/",
    ],
)
def test_a_public_endpoint_is_accepted(endpoint: str) -> None:
    assert str(parse_endpoint(endpoint, allow_private=False)) == endpoint.rstrip("/").removesuffix(":80")


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "8.8.8.8:8091",
        "ftp://8.8.8.8",
        "file:///etc/passwd",
        "http://",
        "http://8.8.8.8:0",
        "http://8.8.8.8:99999",
        "http://user@8.8.8.8",
        "http://user:secret@8.8.8.8",
        "http://8.8.8.8/path",
        "http://8.8.8.8/?query=1",
        "http://[fe80::1%25eth0]:80",
        "http://exa mple.org:80",
        "http://" + "a" * 300,
        "http://2130706433:80",
        "http://0x7f.1:80",
        "http://127.1:80",
        "http://0177.0.0.1:80",
        "http://miner.0x7f000001:80",
        "http://-miner:80",
        "http://8.8.8.8:8091\r\nX: y",
    ],
)
def test_anything_but_scheme_host_and_port_is_refused(endpoint: str) -> None:
    with pytest.raises(EndpointRefused):
        parse_endpoint(endpoint, allow_private=True)


@pytest.mark.parametrize(
    "address",
    # RFC 6890's special-purpose addresses, and the same wrapped in IPv6 (RFC 4291, 3056, 6052, 4380)
    [
        "0.0.0.0",  # noqa: S104  not bound to, refused
        "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1",
        "198.18.0.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:0001::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    ],
)  # fmt: skip
def test_special_purpose_addresses_are_not_public(address: str) -> None:
    parsed = ipaddress.ip_address(address)
    assert not is_public(parsed)
    host = f"[{address}]" if parsed.version == 6 else address
    with pytest.raises(EndpointRefused, match="public"):
        parse_endpoint(f"http://{host}:8091", allow_private=False)
    assert parse_endpoint(f"http://{host}:8091", allow_private=True).port == 8091


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


async def test_a_name_that_leads_home_is_refused() -> None:
    resolver = GuardedResolver(allow_private=False)
    with pytest.raises(EndpointRefused, match="no public address"):
        await resolver.resolve("localhost", 80)
    await resolver.close()


async def test_a_name_without_any_address_is_an_os_error() -> None:
    resolver = GuardedResolver(allow_private=True)
    with pytest.raises(OSError):  # its errno depends on the machine's resolver
        await resolver.resolve("no-such-name.invalid", 80)  # RFC 2606
    await resolver.close()
