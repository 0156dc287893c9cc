"""One end of a yamux stream: two windows, what waits to be sent, and how far it has come to its end."""

from __future__ import annotations

from collections import deque

from swarmnode.protocols.connection.vocabulary import Bytes
from swarmnode.protocols.connection.yamux_frames import DATA, FIN, WINDOW_UPDATE, header

#: The window that both ends begin with (yamux spec, "Flow Control").
INITIAL_WINDOW = 256 << 10
#: Data in one frame. With its header such a frame fills a Noise message to the last byte, so that the other
#: end gets the data in one piece; and several streams take turns often enough.
MAX_FRAME_DATA = 65519 - 12
#: A stream with more than this waiting is told when it has less again (`Drained`).
LOW_WATER = 256 << 10


class YamuxStream:
    """send_window: bytes the peer still takes. receive_window: bytes the peer may still send. window: what
    the receive window is filled up to. unread: bytes received and not consumed. credit: consumed and
    not yet given back to the peer. epoch: when credit was last given. syn_sent: an opener's first
    frame is on its way; acked: the other end's is. is_scheduled: among those with something to send."""

    __slots__ = (
        "acked",
        "credit",
        "epoch",
        "fin_received",
        "fin_sent",
        "fin_wanted",
        "id",
        "is_scheduled",
        "outbound",
        "queue",
        "queued",
        "receive_window",
        "send_window",
        "syn_sent",
        "unread",
        "was_high",
        "window",
    )

    def __init__(self, number: int, outbound: bool, now: float) -> None:
        self.id, self.outbound, self.epoch = number, outbound, now
        self.send_window = self.receive_window = self.window = INITIAL_WINDOW
        self.unread = self.credit = self.queued = 0
        self.queue: deque[Bytes] | None = None  # made when needed: most streams wait for their peer
        self.syn_sent = not outbound
        self.acked = self.fin_wanted = self.fin_sent = self.fin_received = False
        self.is_scheduled = self.was_high = False

    @property
    def can_send(self) -> bool:
        """Whether there is a frame to send, and the window for it."""
        if not self.syn_sent or self.fin_sent:
            return False
        return self.send_window > 0 if self.queued else self.fin_wanted

    def put(self, data: Bytes, size: int) -> None:
        """Let these bytes wait their turn."""
        if self.queue is None:
            self.queue = deque()
        self.queue.append(data)
        self.queued += size
        if self.queued > LOW_WATER:
            self.was_high = True

    def cut(self, out: list[Bytes]) -> int:
        """Append a frame of data to `out`, or the end, or both; returns the size of the data."""
        size = min(self.queued, self.send_window, MAX_FRAME_DATA)
        if size:
            out.append(header(DATA, 0, self.id, size))
            self.send_window -= size
            self.queued -= size
            self._take(size, out)
        if self.fin_wanted and not self.queued:
            # In a frame of its own, as go-libp2p does it: js-libp2p loses data that come with the flag.
            out.append(header(WINDOW_UPDATE, FIN, self.id, 0))
            self.fin_sent = True
        return size

    def _take(self, size: int, out: list[Bytes]) -> None:
        queue = self.queue
        while size:
            assert queue is not None
            first = queue[0]
            if len(first) <= size:
                out.append(queue.popleft())
                size -= len(first)
                continue
            # A view, so that the rest of a large write is not copied for every frame.
            view = first if isinstance(first, memoryview) else memoryview(first)
            out.append(view[:size])
            queue[0] = view[size:]
            break
        if queue is not None and not queue:
            self.queue = None
