"""A client of the serving process, light enough for every command: no numpy, no server."""

import http.client
import socket
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from kamld.errors import Conflict, Invalid, KamldError, NotFound, SystemFault, UserError
from kamld.serving.interface import ModelMetadata, Reconciled, ServerStatus

LENGTH_HEADER = "Inference-Header-Content-Length"
_LOADING_MAX_S = 600.0  # a reconcile waits for models to be checked out and loaded
_Kind = TypeVar("_Kind")


class Reply(msgspec.Struct, frozen=True):
    """`json_length`: how much of the body is JSON when tensors follow as bytes."""

    body: bytes
    json_length: str | None


class _Problem(msgspec.Struct):
    error: str
    code: str = ""


class Client:
    """Every method raises SystemFault when the server cannot be reached, and the server's own
    error as the kind its HTTP status says."""

    def __init__(self, url: str, token: str = "", *, timeout_s: float = 60.0) -> None:
        """`token` is needed for status, reconcile and shutdown only."""
        self.url = url
        self._token = token
        self._timeout_s = timeout_s

    def live(self) -> bool:
        try:
            self._call("GET", "/v2/health/live")
        except KamldError:
            return False
        return True

    def metadata(self, model: str, version: str | None = None) -> ModelMetadata:
        reply = self._call("GET", _model_path(model, version))
        return _decoded(reply.body, ModelMetadata)

    def infer(
        self, model: str, body: bytes, *, json_length: int | None = None, version: str | None = None
    ) -> Reply:
        """Send an Open Inference request; `json_length` when tensors follow its JSON as bytes."""
        headers = {"Content-Type": "application/json"}
        if json_length is not None:
            headers = {
                "Content-Type": "application/octet-stream",
                LENGTH_HEADER: str(json_length),
            }
        return self._call("POST", _model_path(model, version) + "/infer", body, headers)

    def status(self) -> ServerStatus:
        return _decoded(self._control("GET", "status", self._timeout_s).body, ServerStatus)

    def reconcile(self) -> Reconciled:
        """Have the server obey the hub's newest events now; waits till models are loaded."""
        return _decoded(self._control("POST", "reconcile", _LOADING_MAX_S).body, Reconciled)

    def shutdown(self) -> None:
        """Have the serving process end once the requests under way are answered."""
        self._control("POST", "shutdown", self._timeout_s)

    def _control(self, method: str, verb: str, timeout_s: float) -> Reply:
        headers = {"Authorization": f"Bearer {self._token}"}
        return self._call(method, f"/kamld/{verb}", b"", headers, timeout_s)

    def _call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=timeout_s or self._timeout_s
        )
        try:
            connection.request(method, path, body or None, headers or {})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise _error(response.status, content)
        return Reply(content, response.headers.get(LENGTH_HEADER))

    def _unreachable(self, error: Exception) -> SystemFault:
        if isinstance(error, ConnectionRefusedError):
            return SystemFault(
                "server_not_running",
                f"No server answers at {self.url}.",
                "kamld deployments shows what should serve; kamld deploy starts it.",
            )
        if isinstance(error, socket.timeout):
            return SystemFault("server_too_slow", f"The server at {self.url} did not answer in time.")
        return SystemFault("connection_lost", f"The connection to {self.url} broke: {error}.", "Try again.")


def _model_path(model: str, version: str | None) -> str:
    path = f"/v2/models/{quote(model, safe='')}"
    return path if version is None else f"{path}/versions/{quote(version, safe='')}"


def _decoded(body: bytes, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SystemFault("bad_answer", f"The server's answer is not understood: {error}.") from None


def _error(status: int, content: bytes) -> KamldError:
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return SystemFault("bad_answer", f"The server answered with HTTP status {status}.")
    kinds: dict[int, Any] = {404: NotFound, 409: Conflict, 401: UserError}
    kind = kinds.get(status, SystemFault if status >= 500 else Invalid)
    made: KamldError = kind(problem.code or "server_error", problem.error)
    return made
