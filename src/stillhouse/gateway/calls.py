"""A call that went through the gateway, as it is handed to whoever keeps it."""

from dataclasses import dataclass, field

MOST_KEPT = 1 << 20  # bytes of a request's or an answer's body that are kept; of a longer one only its length is


class Kept:
    """The pieces of a body, up to a bound. `whole` None: it was longer."""

    __slots__ = ("_most", "_pieces", "length")

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._pieces: list[bytes] = []
        self._most, self.length = most, 0

    def add(self, piece: bytes) -> None:
        self.length += len(piece)
        if self.length <= self._most:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    @property
    def whole(self) -> bytes | None:
        return None if self.length > self._most else b"".join(self._pieces)


@dataclass(slots=True, kw_only=True)
class ForwardedCall:
    """One call and its answer as bytes. Neither the key nor any other header of the client is in it."""

    id: str
    began: float  # seconds since 1970
    method: str
    path: str  # without the query, in which some clients send a key
    upstream: str
    step: str | None  # what the client called it by, in a header
    encoding: str  # the answer's Content-Encoding; empty: none
    status: int | None = None  # None: there was no answer
    seconds: float | None = None  # from the call's first byte to the answer's last
    broke: str | None = None  # why there is no answer, or no whole one
    request: Kept = field(default_factory=Kept)
    answer: Kept = field(default_factory=Kept)

    @property
    def n_bytes(self) -> int:
        """What it takes of memory, about."""
        return 500 + min(self.request.length, MOST_KEPT) + min(self.answer.length, MOST_KEPT)
