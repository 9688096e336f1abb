"""Replies of the server: a status, headers and bytes, and how errors become them."""

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from kamld.errors import Conflict, Invalid, KamldError, NotFound
from kamld.serving.oip.answers import PREDICTION_HEADER, PREDICTION_PARAMETER

_log = logging.getLogger(__name__)

JSON = b"application/json"
BINARY = b"application/octet-stream"
_BY_CODE = {
    "request_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unsupported_encoding": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "bad_token": HTTPStatus.UNAUTHORIZED,
    "server_busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "server_stopping": HTTPStatus.SERVICE_UNAVAILABLE,
    "server_starting": HTTPStatus.SERVICE_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    async def send(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def reply(status: int, body: bytes, kind: bytes = JSON, prediction: str = "") -> Reply:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    if prediction:
        headers.append((PREDICTION_HEADER.encode(), prediction.encode()))
    return Reply(status, headers, body)


def json_reply(value: object, status: int = HTTPStatus.OK) -> Reply:
    return reply(status, msgspec.json.encode(value))


def error_reply(error: BaseException, prediction: str = "") -> Reply:
    """Any error as the protocol's `{"error": …}`; one that nobody foresaw is logged and hidden."""
    if not isinstance(error, KamldError):
        _log.error("A request failed unexpectedly", exc_info=error)
        content: dict[str, Any] = {
            "error": "The server met an error of its own.",
            "code": "internal",
        }
    else:
        content = {"error": str(error), "code": error.code}
    if prediction:
        content["parameters"] = {PREDICTION_PARAMETER: prediction}
    return reply(status_of(error), msgspec.json.encode(content), prediction=prediction)


def status_of(error: BaseException) -> int:
    if not isinstance(error, KamldError):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if isinstance(error, NotFound):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, Conflict):
        return HTTPStatus.CONFLICT
    return HTTPStatus.BAD_REQUEST if isinstance(error, Invalid) else HTTPStatus.INTERNAL_SERVER_ERROR
