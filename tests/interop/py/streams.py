"""What the node serves and opens besides libp2p's own protocols; ../js/streams.mjs says what."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bulk_pattern import COUNT, ECHO, SINK, SOURCE, pattern_blocks
from libp2p.network.stream.exceptions import StreamEOF

MAX_READ = 65536


async def read_all(stream: Any) -> Any:
    """The pieces that come until the end."""
    while True:
        try:
            data = await stream.read(MAX_READ)
        except StreamEOF:
            return
        if not data:
            return
        yield data


async def serve_echo(stream: Any) -> None:
    async for data in read_all(stream):
        await stream.write(data)
    await stream.close()


async def serve_source(stream: Any) -> None:
    asked = b"".join([data async for data in read_all(stream)])
    for block in pattern_blocks(int.from_bytes(asked, "big")):
        await stream.write(block)
    await stream.close()


def serve_sink(hashed: bool) -> Any:
    async def serve(stream: Any) -> None:
        await stream.write(json.dumps(await checksum(stream, hashed)).encode())
        await stream.close()

    return serve


async def checksum(stream: Any, hashed: bool) -> dict[str, Any]:
    """What comes until the end, counted."""
    hash_, total = hashlib.sha256(), 0
    async for data in read_all(stream):
        total += len(data)
        if hashed:
            hash_.update(data)
    return {"bytes": total, "sha256": hash_.hexdigest() if hashed else None}


#: Protocol id to handler.
SERVED = {ECHO: serve_echo, SINK: serve_sink(True), COUNT: serve_sink(False), SOURCE: serve_source}
