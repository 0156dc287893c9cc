"""Invite codes: `swarm://` and addresses that are not to be read at a glance.

    code := "swarm://" base64url(key (32) | nonce (12) | ChaCha20-Poly1305(text)), without padding

The key stands in the code: it keeps addresses out of search engines and logs, and finds typing errors; it
hides nothing from whoever has the code. The text is one address as the original writes it, or lines: every
address of the inviter, the likeliest first, each with its `/p2p/ID`; and a line `token <hex> <Unix seconds>`
that the joiner shows the inviter, so that both vouch for each other.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from swarmnode.values.errors import Refused
from swarmnode.values.multiaddr import Multiaddr

SCHEME = "swarm://"
#: Characters of a code with its scheme; addresses that do not fit are left out, the likeliest stay.
MAX_CODE_CHARS = 2048
MAX_ADDRESSES = 32
TOKEN_BYTES = 16
INVITE_SECONDS = 7 * 86400.0
#: Peers that may use one code.
MAX_USES = 16

_KEY, _NONCE, _TAG = 32, 12, 16
_TOKEN = "token"  # noqa: S105 - the word before it
_MAX_PLAIN = (MAX_CODE_CHARS - len(SCHEME)) * 3 // 4 - _KEY - _NONCE - _TAG


@dataclass(frozen=True, slots=True)
class Invite:
    """What a code, or an address by itself, says. peer: None when an address names nobody. addresses: without
    `/p2p`. token: to be shown to the inviter; empty when there is none. expires: Unix seconds; 0: never."""

    peer: str | None
    addresses: tuple[Multiaddr, ...]
    token: bytes = field(default=b"", repr=False)
    expires: float = 0.0


def encode_invite(invite: Invite, entropy: Callable[[int], bytes]) -> str:
    """The code. entropy: n -> n random bytes. Raises `Refused` when there is no address to give."""
    if invite.peer is None or not invite.addresses:
        raise Refused(
            "This node has no address that others could dial",
            code="no_address",
            hint="Connect it to a network, or set network.listen_address to an address others can reach.",
        )
    ends = [f"{_TOKEN} {invite.token.hex()} {int(invite.expires)}"] if invite.token else []
    room = _MAX_PLAIN - sum(len(line) + 1 for line in ends)
    lines: list[str] = []
    for address in invite.addresses[:MAX_ADDRESSES]:
        line = str(address.with_peer(invite.peer))
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    key, nonce = entropy(_KEY), entropy(_NONCE)
    sealed = ChaCha20Poly1305(key).encrypt(nonce, "\n".join(lines + ends).encode(), None)
    return SCHEME + base64.urlsafe_b64encode(key + nonce + sealed).decode().rstrip("=")


def read_invite(text: str) -> Invite:
    """What the user was given: a code, or an address with or without `/p2p/ID`. Raises `Refused`:
    `bad_invite` with what is wrong with it in words, `bad_address`."""
    text = "".join(text.split())
    if text.startswith("/"):
        return _of_addresses([Multiaddr.parse(text)], b"", 0.0)
    if not text.lower().startswith(SCHEME):
        raise _bad("An invite begins with swarm://, an address with /ip4, /ip6 or /dns")
    if len(text) > MAX_CODE_CHARS:
        raise _bad(f"The code has {len(text)} characters; {MAX_CODE_CHARS} are the most there can be")
    return _of_text(_opened(text[len(SCHEME) :]))


def token_hash(token: bytes) -> str:
    """What the inviter keeps of a token."""
    return blake3(token, derive_key_context="swarmnode invite token 1").hexdigest()


def _opened(encoded: str) -> str:
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad("The code holds characters that no code has, or was cut off") from error
    if len(data) <= _KEY + _NONCE + _TAG:
        raise _bad("The code is too short: a part of it was cut off")
    key, nonce, sealed = data[:_KEY], data[_KEY : _KEY + _NONCE], data[_KEY + _NONCE :]
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, None).decode("utf-8")
    except (InvalidTag, UnicodeDecodeError) as error:
        raise _bad("The code is damaged: a character was changed, or a part of it cut off") from error


def _of_text(text: str) -> Invite:
    addresses: list[Multiaddr] = []
    token, expires, problem = b"", 0.0, None
    for line in text.splitlines()[: MAX_ADDRESSES + 8]:
        words = line.split()
        if len(words) == 3 and words[0] == _TOKEN:
            token, expires = _token(words[1], words[2])
        elif line.startswith("/"):
            try:
                addresses.append(Multiaddr.parse(line.strip()))
            except Refused as error:
                problem = error  # a kind of address that a later version knows
    if not addresses:
        raise problem or _bad("The code holds no address")
    return _of_addresses(addresses, token, expires)


def _token(token: str, expires: str) -> tuple[bytes, float]:
    try:
        data = bytes.fromhex(token)
    except ValueError:
        data = b""
    if len(data) != TOKEN_BYTES or not (expires.isascii() and expires.isdecimal() and len(expires) < 16):
        raise _bad("The code's token is no token")
    return data, float(expires)


def _of_addresses(addresses: Iterable[Multiaddr], token: bytes, expires: float) -> Invite:
    known = list(addresses)
    peers = {address.peer for address in known}
    if len(peers) > 1:
        raise _bad("The code names more than one node")
    return Invite(peers.pop(), tuple(dict.fromkeys(a.without_peer() for a in known)), token, expires)


def _bad(fault: str) -> Refused:
    return Refused(
        fault,
        code="bad_invite",
        hint="Ask for the code once more, and copy all of it.",
    )
