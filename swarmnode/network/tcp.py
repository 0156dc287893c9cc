"""TCP: dialling and listening. What runs over it, and makes connections of it, is `network.connection`."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from structlog import get_logger
from twisted.internet import error as twisted_errors
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from swarmnode.interfaces.host import Connection
from swarmnode.interfaces.transport import ICarrier, IListening
from swarmnode.network.connection import connect_protocol
from swarmnode.network.doorstep import Doorstep, Tally
from swarmnode.network.link import as_error
from swarmnode.network.listening import ReservedPort
from swarmnode.values.errors import LocalFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr, tcp_address
from swarmnode.values.network import NetworkSettings

NAME = "tcp"
log = get_logger("tcp")
#: How long a system may take to answer a connection request.
CONNECT_SECONDS = 10.0

#: (connect_protocol's arguments) -> a Twisted protocol and a Deferred of its connection.
Secure = Callable[..., tuple[Any, Deferred[Any]]]


def tcp_carrier(
    identity: Any, reactor: Any, entropy: Callable[[int], bytes], settings: NetworkSettings
) -> TcpCarrier:
    """The plug-in's factory. The port is bound now: a taken one is refused before anything runs. Raises
    `Refused` or `LocalFault`."""
    return TcpCarrier(identity, reactor, entropy, _reserve(settings.listen_address, settings.port))


@implementer(ICarrier)
class TcpCarrier:
    """Dials and listens. reserved: a port for `listen` that is bound already."""

    def __init__(
        self,
        identity: Any,
        reactor: Any,
        entropy: Callable[[int], bytes],
        reserved: ReservedPort | None = None,
        secure: Secure = connect_protocol,
    ) -> None:
        self._identity, self._reactor, self._entropy = identity, reactor, entropy
        self._reserved, self._secure = reserved, secure
        self._strangers = Tally(reactor.seconds)

    def dials(self, address: Multiaddr) -> bool:
        return address.transport in (("ip4", "tcp"), ("ip6", "tcp"))

    def dial(self, address: Multiaddr, peer: str | None) -> Deferred[Any]:
        return _Dial(self.end, address.without_peer(), peer).begin(self._reactor)

    def listen(self, address: Multiaddr, accept: Callable[[Connection], None]) -> Deferred[Any]:
        return maybeDeferred(self._listen, address, accept)

    def failed_handshakes(self) -> dict[str, int]:
        """Inbound connections that were not secured, by the code of the error, since the start."""
        return self._strangers.totals()

    def release(self) -> None:
        """Give the reserved port back, should nobody have listened."""
        reserved, self._reserved = self._reserved, None
        if reserved is not None:
            reserved.close()

    def end(
        self, transport: Any, *, initiator: bool, expected: str | None, remote: Multiaddr
    ) -> tuple[Any, Deferred[Any]]:
        """The protocol for one end of a TCP connection that is open."""
        local = place_of(transport.getHost())
        return self._secure(
            initiator, self._identity, self._reactor, self._entropy, expected, remote, local, NAME
        )

    def _listen(self, address: Multiaddr, accept: Callable[[Connection], None]) -> TcpListening:
        reserved, self._reserved = self._reserved, None
        if reserved is None:
            reserved = _reserve(address.host or "", address.port or 0)
        return TcpListening(
            reserved, self._reactor, _Server(self.end, accept, self._strangers, self._reactor.seconds)
        )


@implementer(IListening)
class TcpListening:
    """A listening port."""

    def __init__(self, reserved: ReservedPort, reactor: Any, factory: Factory) -> None:
        self._reserved = reserved
        self.address = tcp_address(reserved.address, reserved.port)
        self.ended = reserved.ended
        reserved.serve(reactor, factory)

    def stop(self) -> Any:
        return maybeDeferred(self._reserved.close)


class _Threshold(Protocol):
    """Stands in until the TCP connection is open, because only then its own address is known."""

    def __init__(self, enter: Callable[[Any], Protocol]) -> None:
        self._enter = enter

    def makeConnection(self, transport: Any) -> None:
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        transport.protocol = protocol = self._enter(transport)
        protocol.makeConnection(transport)


class _Server(Factory):
    """Inbound connections, as many at once as the doorstep has room for."""

    noisy = False

    def __init__(
        self,
        end: Callable[..., Any],
        accept: Callable[[Connection], None],
        tally: Tally,
        seconds: Callable[[], float],
    ) -> None:
        self._end, self._accept = end, accept
        self._doorstep, self._tally = Doorstep(seconds), tally

    def buildProtocol(self, addr: Any) -> Protocol | None:
        """None: Twisted closes it."""
        remote = place_of(addr)
        if remote is None or not self._doorstep.has_room(str(remote.host)):
            return None
        return _Threshold(lambda transport: self._enter(transport, remote))

    def _enter(self, transport: Any, remote: Multiaddr) -> Protocol:
        protocol, secured = self._end(transport, initiator=False, expected=None, remote=remote)
        number = self._doorstep.enter(str(remote.host), secured.cancel)

        def leave(result: Any) -> Any:
            self._doorstep.leave(number)
            return result

        secured.addBoth(leave).addCallbacks(self._accept, self._failed, errbackArgs=(remote,))
        return protocol

    def _failed(self, why: Failure, remote: Multiaddr) -> None:
        """Strangers fail in many ways, which is no news; but the first of a kind may explain something."""
        error = as_error(why.value, "Securing failed")
        count = self._tally.count(error.code)
        if count is not None:
            log.info(
                "an inbound connection was not secured",
                address=str(remote),
                reason=error.message,
                times=count,
            )


class _Dial(ClientFactory):
    """One attempt."""

    noisy = False

    def __init__(self, end: Callable[..., Any], address: Multiaddr, peer: str | None) -> None:
        self._end, self._address, self._peer = end, address, peer
        self._connector: Any = None
        self._securing: Deferred[Any] | None = None
        self._done: Deferred[Any] | None = Deferred(self._cancelled)

    def begin(self, reactor: Any) -> Deferred[Any]:
        """A Deferred of the connection."""
        done = self._done
        assert done is not None
        host, port = str(self._address.host), self._address.port
        self._connector = reactor.connectTCP(host, port, self, timeout=CONNECT_SECONDS)
        return done

    def buildProtocol(self, addr: Any) -> Protocol | None:
        return _Threshold(self._enter) if self._done is not None else None

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._fail(_explained(reason.value))

    def _enter(self, transport: Any) -> Protocol:
        protocol, secured = self._end(transport, initiator=True, expected=self._peer, remote=self._address)
        self._securing = secured
        secured.addCallbacks(self._secured, lambda why: self._fail(as_error(why.value, "Securing failed")))
        return protocol

    def _secured(self, connection: Connection) -> None:
        done, self._done = self._done, None
        if done is None:
            connection.abort()
        else:
            done.callback(connection)

    def _fail(self, error: SwarmnodeError) -> None:
        done, self._done = self._done, None
        if done is not None:
            done.errback(error)

    def _cancelled(self, done: Deferred[Any]) -> None:
        self._done = None
        if self._securing is not None:
            self._securing.cancel()
        elif self._connector is not None:
            self._connector.disconnect()


def place_of(address: Any) -> Multiaddr | None:
    """The multiaddr of an address of Twisted's; IPv4 written as IPv6 becomes IPv4."""
    if not isinstance(address, IPv4Address | IPv6Address):
        return None
    ip = ipaddress.ip_address(address.host.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return tcp_address(str(mapped or ip), address.port)


def _reserve(host: str, port: int) -> ReservedPort:
    try:
        return ReservedPort(host, port)
    except SwarmnodeError as error:
        kind = Refused if isinstance(error, Refused) else LocalFault
        raise kind(
            f"Peers cannot be listened for: {error.message}",
            code=error.code,
            hint="P2P listens at network.listen_address, on the APIs' port + 10: `--port N` moves both.",
        ) from error


def _explained(cause: BaseException | None) -> SwarmnodeError:
    if isinstance(cause, twisted_errors.ConnectionRefusedError):
        return Unavailable("connection refused", code="connection_refused")
    if isinstance(cause, twisted_errors.TimeoutError):
        return Unavailable(f"no answer within {CONNECT_SECONDS:.0f} s", code="dial_timeout")
    if isinstance(cause, twisted_errors.NoRouteError):
        return Unavailable("no way leads there", code="no_route")
    if isinstance(cause, twisted_errors.ConnectError | OSError):
        reason = getattr(cause, "osError", None) or cause
        return Unavailable(str(reason), code="connect_failed")
    return as_error(cause, "Connecting failed")
