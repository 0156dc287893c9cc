"""The DNS codec: golden bytes of others, round trips, and packets made to hurt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.names import dns as twisted_dns

from swarmnode.protocols.mdns.dns import (
    MAX_ENTRIES,
    MAX_PACKET_BYTES,
    PTR,
    Message,
    Pointer,
    Question,
    Text,
    decode,
    encode,
)
from swarmnode.values.errors import PeerFault

SERVICE = "_p2p._udp.local"
NAME = f"abc.{SERVICE}"
ANSWER = Message(
    True,
    answers=(Pointer(SERVICE, NAME, 120),),
    additional=(Text(NAME, (b"dnsaddr=/ip4/10.0.0.1/tcp/1", b"x" * 255), 120),),
)

labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=63)
names = st.lists(labels, min_size=1, max_size=3).map(".".join)
ttls = st.integers(0, 2**32 - 1)
texts = st.builds(Text, names, st.lists(st.binary(max_size=255), max_size=3).map(tuple), ttls)
records = st.lists(st.one_of(st.builds(Pointer, names, names, ttls), texts), max_size=3).map(tuple)
questions = st.lists(st.builds(Question, names, st.integers(0, 65535)), max_size=3).map(tuple)


def packet(counts: tuple[int, int, int, int], body: bytes, flags: int = 0x8400) -> bytes:
    return b"".join(n.to_bytes(2, "big") for n in (0, flags, *counts)) + body


@given(st.builds(Message, st.booleans(), questions, records, records))
def test_a_message_comes_back(message: Message) -> None:
    assert decode(encode(message)) == message


def test_another_codec_reads_ours() -> None:
    other = twisted_dns.Message()
    other.fromStr(encode(ANSWER))
    assert other.answer == 1 and other.auth == 1
    assert [(str(r.name), r.type, r.cls, r.ttl) for r in other.answers] == [(SERVICE, 12, 1, 120)]
    assert str(other.answers[0].payload.name) == NAME
    assert str(other.additional[0].name) == NAME
    assert other.additional[0].payload.data == list(ANSWER.additional[0].strings)  # type: ignore[union-attr]


def test_we_read_another_codec_s() -> None:
    other = twisted_dns.Message(answer=1)
    pointer = twisted_dns.Record_PTR(NAME, 120)
    other.answers = [
        twisted_dns.RRHeader(SERVICE, twisted_dns.PTR, ttl=120, payload=pointer),
        twisted_dns.RRHeader(NAME, twisted_dns.TXT, ttl=120, payload=twisted_dns.Record_TXT(b"a=1", b"b")),
        twisted_dns.RRHeader(NAME, twisted_dns.A, ttl=120, payload=twisted_dns.Record_A("10.0.0.1")),
    ]
    message = decode(other.toStr())
    assert message.answers == (Pointer(SERVICE, NAME, 120), Text(NAME, (b"a=1", b"b"), 120))


def test_a_question_is_what_everybody_sends() -> None:
    expected = packet((1, 0, 0, 0), b"\x04_p2p\x04_udp\x05local\0\0\x0c\0\x01", flags=0)
    assert encode(Message(False, (Question(SERVICE, PTR),))) == expected


def test_names_are_written_once() -> None:
    assert encode(ANSWER).count(b"local") == 1


def test_names_are_compared_without_case_and_other_records_stepped_over() -> None:
    body = b"\x04_P2P\x04_uDp\x05LOCAL\0\0\x21\x80\x01\0\0\0\x78\0\x03abc"
    body += b"\x01x\xc0\x0c\0\x10\x80\x01\0\0\0\x78\0\x02\x01y"
    message = decode(packet((0, 2, 0, 0), body))
    assert message.answers == (Text(f"x.{SERVICE}", (b"y",), 120),)


@pytest.mark.parametrize(
    "body",
    [
        b"\xc0\x0c",  # a name that points at itself
        b"\x01a\xc0\x0c",  # and at its own beginning
        b"\xc0\x20",  # and beyond the end
        b"\xc0",  # cut off
        b"\x40" + b"a" * 64 + b"\0",  # a part of more than 63 bytes
        (b"\x3f" + b"a" * 63) * 4 + b"\0",  # a name of more than 255
        b"\x05ab",
        b"",
    ],
)
def test_bad_names_are_refused(body: bytes) -> None:
    with pytest.raises(PeerFault, match="multicast DNS"):
        decode(packet((1, 0, 0, 0), body + b"\0\x0c\0\x01"))


def test_names_that_point_back_and_back_have_an_end() -> None:
    # Each question's name points into the one before: as deep as it goes, and no deeper than 255 bytes.
    body, at = b"\x01a\0\0\x0c\0\x01", 12
    for index in range(MAX_ENTRIES - 1):
        body += b"\x01b" + (0xC000 | at).to_bytes(2, "big") + b"\0\x0c\0\x01"
        at = 12 + 7 + 8 * index
    with pytest.raises(PeerFault, match="too long"):
        decode(packet((MAX_ENTRIES, 0, 0, 0), body))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(11),
        bytes(MAX_PACKET_BYTES + 1),
        packet((65535, 65535, 65535, 65535), b""),
        packet((0, 1, 0, 0), b"\0\0\x10\0\x01\0\0\0\0\xff\xff\x01a"),  # a record longer than the packet
        packet((0, 1, 0, 0), b"\0\0\x10\0\x01\0\0\0\0\0\x01\x05abcde"),  # a string longer than its record
        packet((0, 1, 0, 0), b"\0\0\x0c\0\x01\0\0\0\0\0\x05\x01a\0bcd"),  # a name shorter than its record
        packet((0, 1, 0, 0), b"\0\0\x10\0\x01\0\0\0\0\0\x41" + b"\0" * 65),  # too many strings
        packet((0, 0, 0, 0), b"", flags=0x8403),  # an error
    ],
)
def test_bad_packets_are_refused(data: bytes) -> None:
    with pytest.raises(PeerFault) as refusal:
        decode(data)
    assert refusal.value.code == "bad_dns"


@given(st.binary(max_size=300), st.tuples(*[st.integers(0, 3)] * 4))
def test_nothing_but_a_named_error_comes_of_noise(body: bytes, counts: tuple[int, int, int, int]) -> None:
    for data in (body, packet(counts, body)):
        try:
            decode(data)
        except PeerFault as error:
            assert error.code == "bad_dns"


@given(st.integers(0, len(encode(ANSWER)) - 1), st.integers(0, 255))
def test_a_damaged_or_cut_packet_is_read_or_refused(at: int, value: int) -> None:
    whole = encode(ANSWER)
    for data in (whole[:at], whole[:at] + bytes([value]) + whole[at + 1 :]):
        try:
            decode(data)
        except PeerFault as error:
            assert error.code == "bad_dns"


@pytest.mark.parametrize("name", ["", "a..b", "a" * 64, ".".join(["a" * 60] * 5)])
def test_a_name_that_does_not_fit_is_not_written(name: str) -> None:
    with pytest.raises(ValueError, match="name|part"):
        encode(Message(False, (Question(name, PTR),)))


def test_a_packet_that_is_too_long_is_not_written() -> None:
    text = Text(NAME, (b"x" * 255,) * 60, 120)
    with pytest.raises(ValueError, match="too long"):
        encode(Message(True, answers=(text,)))
