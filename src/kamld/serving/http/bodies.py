"""Request bodies, read into memory within two limits: of one request, and of all at once."""

from typing import Any, Self

from kamld.errors import Invalid, SystemFault

_AT_ONCE = 4  # largest requests that may be in memory together


class ClientGone(Exception):
    """The client hung up before its request was complete; nobody waits for an answer."""


class Bodies:
    def __init__(self, limit: int) -> None:
        """`limit` is the largest body, in bytes."""
        self._limit = limit
        self._held = 0

    def one(self) -> "Body":
        return Body(self)


class Body:
    """The body of one request; it counts as held from `read` until the `with` block ends."""

    __slots__ = ("_bodies", "_size")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bodies._held -= self._size

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
            if self._size > self._bodies._limit:
                await self._discard(receive)
                raise self._too_large(self._size)
        return b"".join(parts)

    async def _message(self, receive: Any) -> Any:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        size = len(message["body"])
        if self._bodies._held + size > _AT_ONCE * self._bodies._limit:
            raise SystemFault("server_busy", "Too many requests are waiting.", "Try again shortly.")
        self._size += size
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
