from __future__ import annotations

import socket

import pytest

from swarmnode.network.listening import ReservedPort
from swarmnode.values.errors import Refused


def test_a_taken_port_is_named() -> None:
    first = ReservedPort("127.0.0.1", 0)
    try:
        with pytest.raises(Refused, match=f"Port {first.port} on 127.0.0.1 is taken") as caught:
            ReservedPort("127.0.0.1", first.port)
        assert caught.value.code == "port_in_use"
    finally:
        first.close()


def test_a_closed_port_can_be_taken_again() -> None:
    first = ReservedPort("127.0.0.1", 0)
    first.close()
    ReservedPort("127.0.0.1", first.port).close()


def test_a_foreign_address_is_explained() -> None:
    with pytest.raises(Refused, match="Cannot listen on 192.0.2.1"):
        ReservedPort("192.0.2.1", 0)


def test_dead_clients_are_noticed_by_keepalive() -> None:
    reserved = ReservedPort("127.0.0.1", 0)
    try:
        assert reserved._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    finally:
        reserved.close()
