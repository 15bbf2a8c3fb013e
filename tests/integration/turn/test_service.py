"""The TURN server as the sessions run it, with a real engine and real clients."""

import contextlib
import socket
import time

import pytest

from icey._core import Engine, probe_turn
from icey.config.model import Settings
from icey.errors import AddressInUseError, TurnProbeError
from icey.turn.service import TurnService

HERE = "127.0.0.1"


@pytest.fixture
def engine():
    """An engine on loopback."""
    with contextlib.closing(Engine(host=HERE)) as engine:
        yield engine


def settings(**turn):
    return Settings.model_validate({"http": {"host": HERE}, "turn": {"port": 0, **turn}})


@pytest.fixture
def serve():
    """Open TURN servers, each beside an engine, and close them in the end."""
    with contextlib.ExitStack() as stack:

        def serve(**turn):
            engine = stack.enter_context(contextlib.closing(Engine(host=HERE)))
            service = TurnService(engine, settings(**turn), host=HERE)
            return stack.enter_context(contextlib.closing(service))

        yield serve


def probe(service, credential, transport="udp"):
    return probe_turn(
        HERE,
        service.port,
        transport=transport,
        username=credential.username,
        credential=credential.password,
    )


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_credentials_open_it(serve, transport):
    """A credential of the service opens it, and what passed is counted."""
    service = serve()
    assert service.status()["allocations"]["total"] == 0
    seen = probe(service, service.credential(), transport)
    assert seen.relayed_address.startswith(f"{HERE}:")
    deadline = time.monotonic() + 5
    while (status := service.status())["fromPeers"]["packets"] < 2:  # told from time to time
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert status["allocations"]["total"] == 2
    assert status["toPeers"]["bytes"] == status["fromPeers"]["bytes"] > 0
    assert status["connections"]["total"] == (0 if transport == "udp" else 2)
    assert status["refusals"]["challenged"] == 2


def test_no_secret_is_built_in(serve):
    """Without a secret each service has one of its own: no credential opens another."""
    one, other = serve(), serve()
    with pytest.raises(TurnProbeError) as caught:
        probe(other, one.credential())
    assert (caught.value.step, caught.value.code) == ("allocate", 401)
    deadline = time.monotonic() + 5
    while other.status()["refusals"]["forged"] < 1:  # told from time to time
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_secret_outlives_the_process(serve):
    """With a secret set, credentials of one service open another."""
    one, other = serve(secret="north"), serve(secret="north", username="cam")
    probe(other, one.credential())
    credential = other.credential()
    assert ":cam:" in credential.username
    probe(one, credential)


def test_external_address(serve):
    """Clients are told the external address as theirs."""
    service = serve(externalIp="192.0.2.7")
    seen = probe(service, service.credential())
    assert seen.relayed_address.startswith("192.0.2.7:")
    assert service.target().external_ip == "192.0.2.7"


def test_range_of_relayed_ports(serve):
    """Relayed addresses have ports of the configured range."""
    service = serve(relayPortMin=50_000, relayPortMax=50_040)
    ports = {
        int(probe(service, service.credential()).relayed_address.rpartition(":")[2])
        for _ in range(5)
    }
    assert all(50_000 <= port <= 50_040 for port in ports)


def test_target(serve):
    """A self-test is sent to an address that answers, with a credential for the moment."""
    service = serve(credentialTtlSeconds=3600)
    target = service.target()
    assert (target.host, target.port, target.tls_port) == (HERE, service.port, None)
    assert target.addresses == (HERE,)
    assert target.credential.ttl_seconds <= 60
    probe(service, target.credential)


def test_port_taken(engine, serve):
    """A port that is taken is an error with the port in it, and frees what was bound before."""
    service = serve()
    with pytest.raises(AddressInUseError) as caught:
        TurnService(engine, settings(port=service.port), host=HERE)
    assert caught.value.port == service.port


def test_closing_frees_the_port(engine):
    """A closed service lets its port go, in UDP and TCP, at once."""
    service = TurnService(engine, settings(), host=HERE)
    probe(service, service.credential(), "tcp")
    port = service.port
    service.close()
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind((HERE, port))
