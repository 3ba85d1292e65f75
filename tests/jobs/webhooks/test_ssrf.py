"""No form of a private address gets through, nor a name that changes its meaning."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glagol.core.errors import InputError
from glagol.jobs.webhooks.ssrf import GuardedBackend, Rules, check_url, permitted, system_resolver

RULES = Rules()
EVERYTHING = Rules.of(["0.0.0.0/0", "::/0"], [80])
# the forms that get around naive guards: components under test dial none of them
BYPASSES = [
    "http://127.0.0.1/",
    "http://localhost/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://0.0.0.0/",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://100.64.0.1/",
    "http://[fd00::1]/",
    "http://[fe80::1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[::ffff:0:7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[::127.0.0.1]/",
    "http://[::]/",
]
NEVER = [
    "169.254.169.254", "169.254.1.1", "fe80::1", "fd00:ec2::254", "fd20:ce::254",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.1", "::", "224.0.0.1", "ff02::1",
    "255.255.255.255", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
    "::ffff:0:a9fe:a9fe", "2001:0:4136:e378:8000:63bf:5601:5601", "2001:db8::5efe:a9fe:a9fe",
]  # fmt: skip


def answering(*answers: Sequence[str]) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """A resolver that gives the answers one after the other."""
    left = iter(answers)

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return next(left)

    return resolve


SYSTEM = system_resolver(ThreadPoolExecutor(1))


def dial(url: str, rules: Rules = RULES, resolve: object = SYSTEM) -> None:
    """What a delivery does up to the connection."""
    target = check_url(url, rules)
    backend = GuardedBackend(rules, resolve)  # type: ignore[arg-type]

    async def connect() -> None:
        stream = await backend.connect_tcp(target.host, target.port, timeout=5.0)
        await stream.aclose()

    asyncio.run(connect())


@pytest.mark.parametrize("url", BYPASSES)
def test_no_form_of_a_private_address_is_dialled(url: str) -> None:
    """Refused when the address is read, or at the latest when its name was looked up."""
    with pytest.raises(InputError) as caught:
        dial(url)
    assert caught.value.code == "webhook_refused"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "//example.com/",
        "http:///path", "http://", "", "http://example.com:22/", "http://example.com:0/",
        "http://example.com:99999/", "http://user@example.com/", "http://user:secret@example.com/",
        "http://example.com@127.0.0.1/", "http://exa mple.com/", "http://example.com/\r\nX: 1",
        "http://example.com\\@127.0.0.1/", "http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/",
        "http://пример.рф/", "http://[::1/", "http://1.2.3.4.5/", "http://1.2.3.0x4/",
        "http://%31%32%37.0.0.1/", "http://127.0.0.1%00.example.com/", "http://①②⑦.0.0.1/",
        "http://example.com/" + "a" * 2048,
    ],
)  # fmt: skip
def test_what_is_not_a_plain_address_is_refused(url: str) -> None:
    """Scheme, port, user name, anything that two readers may read in two ways."""
    with pytest.raises(InputError) as caught:
        check_url(url, RULES)
    assert caught.value.code == "webhook_refused"
    assert "secret" not in caught.value.message


def test_a_plain_address_is_taken_apart() -> None:
    """Default ports, path and query, a literal IPv6 host without its brackets."""
    target = check_url("https://Example.com/a?b=c#d", RULES)
    assert (target.host, target.port, target.path) == ("example.com", 443, "/a?b=c")
    assert check_url("http://[2606:4700::1111]:8080", RULES).host == "2606:4700::1111"


@pytest.mark.parametrize("text", NEVER)
def test_some_addresses_stay_refused_whatever_is_allowed(text: str) -> None:
    """Link-local and metadata, in every disguise, though the operator allowed everything."""
    assert not permitted(ipaddress.ip_address(text), EVERYTHING)


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "10.1.2.3", "fd00::1", "::ffff:10.1.2.3"])
def test_the_operators_networks_are_let_in(text: str) -> None:
    """And only they: without the list the same address is refused."""
    address = ipaddress.ip_address(text)
    rules = Rules.of(["127.0.0.0/8", "::1/128", "10.1.0.0/16", "fd00::/64"], [80])
    assert permitted(address, rules)
    assert not permitted(address, RULES)


@pytest.mark.parametrize("text", ["10.2.0.1", "192.168.1.1", "fd00:1::1", "::ffff:192.168.1.1"])
def test_the_list_lets_in_no_more_than_it_says(text: str) -> None:
    """A neighbour of an allowed network stays outside."""
    rules = Rules.of(["10.1.0.0/16", "fd00::/64"], [80])
    assert not permitted(ipaddress.ip_address(text), rules)


@given(st.ip_addresses(v=4))
def test_a_disguise_is_never_better_than_its_address(address: ipaddress.IPv4Address) -> None:
    """NAT64, 6to4, mapped, translated: what IPv4 may not reach they may not, even if allowed."""
    number = int(address)
    disguises = [
        ipaddress.IPv6Address((0x64_FF9B << 96) | number),
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80)),
        ipaddress.IPv6Address((0xFFFF << 32) | number),
        ipaddress.IPv6Address((0xFFFF << 48) | number),
    ]
    networks = ["64:ff9b::/96", "2002::/16", "::ffff:0:0/96", "::ffff:0:0:0/96"]
    rules = Rules.of(networks, [80])
    if not permitted(address, rules):
        assert not any(permitted(disguise, rules) for disguise in disguises)


@given(st.ip_addresses())
def test_only_public_addresses_without_a_list(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Against the standard library's own opinion, which is a little more generous."""
    if permitted(address, RULES):
        assert address.is_global
        assert not address.is_private
        assert not address.is_multicast


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    """Every address of the answer is judged, not the first one."""
    with pytest.raises(InputError):
        dial("http://x.example/", resolve=answering(["93.184.216.34", "10.0.0.1"]))


def test_the_judged_address_is_the_dialled_one() -> None:
    """A name that is public when judged and private when dialled: it is looked up once only."""
    asked = []

    async def rebinding(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.9"] if len(asked) == 1 else ["127.0.0.1"]

    async def run() -> str:
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.9", 0)
        port = server.sockets[0].getsockname()[1]
        backend = GuardedBackend(Rules.of(["127.0.0.9/32"], [port]), rebinding)
        async with server:
            stream = await backend.connect_tcp("rebind.example", port, timeout=5.0)
            peer = str(stream.get_extra_info("server_addr")[0])
            await stream.aclose()
            with pytest.raises(InputError):  # the next delivery gets the new answer, and judges it
                await backend.connect_tcp("rebind.example", port, timeout=5.0)
        return peer

    assert asyncio.run(run()) == "127.0.0.9"
    assert len(asked) == 2


def test_the_next_address_is_dialled_when_one_is_silent() -> None:
    """Only judged ones; and when none answers, that is the network's fault and tried again."""

    async def run() -> None:
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.8", 0)
        port = server.sockets[0].getsockname()[1]
        rules = Rules.of(["127.0.0.0/8"], [port])
        async with server:
            backend = GuardedBackend(rules, answering(["127.0.0.7", "127.0.0.8"], ["127.0.0.7"]))
            stream = await backend.connect_tcp("two.example", port, timeout=5.0)
            await stream.aclose()
            with pytest.raises(httpcore.ConnectError):
                await backend.connect_tcp("one.example", port, timeout=5.0)

    asyncio.run(run())


def test_a_local_socket_is_no_receiver() -> None:
    """httpcore could do it; we do not."""
    with pytest.raises(InputError):
        asyncio.run(GuardedBackend(EVERYTHING, SYSTEM).connect_unix_socket("/run/docker.sock"))


def test_refusals_name_no_address() -> None:
    """The error does not reveal what a name resolves to in this network."""
    with pytest.raises(InputError) as caught:
        dial("http://db.example/", resolve=answering(["10.9.8.7"]))
    assert "10.9.8.7" not in caught.value.message
