"""Request bodies, read into memory within two limits: of one request, and of all at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kamld.errors import Invalid, SystemFault

_AT_ONCE = 4  # largest requests that may be in memory together


class ClientGone(Exception):
    """The client hung up before its request was complete; nobody waits for an answer."""


class Bodies:
    def __init__(self, limit: int) -> None:
        """`limit` is the largest body, in bytes."""
        self._limit = limit
        self._held = 0

    @contextmanager
    def reading(self) -> Iterator[Callable[[dict[bytes, bytes], Any], Any]]:
        """A reader for one request, whose body counts as held until this ends."""
        held = _Held(self)
        try:
            yield held.read
        finally:
            self._held -= held.size


class _Held:
    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.size = 0

    async def read(self, headers: dict[bytes, bytes], receive: Any) -> bytes:
        """The whole body.

        Raises Invalid (request_too_large, unsupported_encoding), SystemFault (server_busy),
        ClientGone.
        """
        encoding = headers.get(b"content-encoding", b"identity")
        if encoding != b"identity":
            raise Invalid(
                "unsupported_encoding",
                f'The request is compressed with "{encoding.decode("latin-1")[:20]}".',
                "Send it uncompressed.",
            )
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._bodies._limit:
            if b"expect" not in headers:
                await self._discard(receive)
            raise self._too_large(int(declared))
        message = await self._message(receive)
        if not message.get("more_body"):
            body: bytes = message["body"]
            return body
        parts = [message["body"]]
        while message.get("more_body"):
            message = await self._message(receive)
            parts.append(message["body"])
            if self.size > self._bodies._limit:
                await self._discard(receive)
                raise self._too_large(self.size)
        return b"".join(parts)

    async def _message(self, receive: Any) -> Any:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        size = len(message["body"])
        if self._bodies._held + size > _AT_ONCE * self._bodies._limit:
            raise SystemFault("server_busy", "Too many requests are waiting.", "Try again shortly.")
        self.size += size
        self._bodies._held += size
        return message

    async def _discard(self, receive: Any) -> None:
        """Read on for a while, so that a client still sending gets to read the answer."""
        discarded = 0
        while discarded < self._bodies._limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            discarded += len(message["body"])
            if not message.get("more_body"):
                return

    def _too_large(self, size: int) -> Invalid:
        return Invalid(
            "request_too_large",
            f"The request has {size / 1e6:,.1f} MB; the most accepted is "
            f"{self._bodies._limit / 1e6:,.1f} MB.",
            "Send fewer rows at a time, or raise request_mb in the settings.",
        )
