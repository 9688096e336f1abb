"""All paths but inference: health, metadata, and the control paths under /kamld for this hub's own
commands, which prove themselves with the token of the state file."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kamld.errors import KamldError, NotFound, SystemFault, UserError
from kamld.serving.endpoints import Endpoints
from kamld.serving.http.infer import Inference, gone_is_fine, target
from kamld.serving.http.replies import Reply, error_reply, json_reply
from kamld.serving.interface import Reconciled, ServerStatus

EXTENSIONS = ("binary_tensor_data",)
Handler = Callable[[Request], Awaitable[Reply]]


class Control:
    """What the control paths do; the server fills it in."""

    def __init__(
        self,
        token: str,
        reconcile: Callable[[], Reconciled],
        status: Callable[[], ServerStatus],
        shutdown: Callable[[], None],
    ) -> None:
        self.token = token.encode()
        self.reconcile = reconcile
        self.status = status
        self.shutdown = shutdown


def build(endpoints: Endpoints, inference: Inference, control: Control, version: str) -> Any:
    """The ASGI application. `version` is KAML-D's."""
    rest = _rest(endpoints, control, version)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            found = target(scope["path"])
            if found is not None:
                await gone_is_fine(inference.answer(*found, scope, receive), send)
                return
        await rest(scope, receive, send)

    return app


def _rest(endpoints: Endpoints, control: Control, version: str) -> Starlette:
    server = {"name": "kamld", "version": version, "extensions": EXTENSIONS}

    async def about(_: Request) -> Reply:
        return json_reply(server)

    async def live(_: Request) -> Reply:
        return json_reply({"live": True})

    async def ready(_: Request) -> Reply:
        is_ready = endpoints.ready
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        return json_reply({"live": True, "ready": is_ready}, status)

    async def metadata(request: Request) -> Reply:
        endpoint = endpoints.get(request.path_params["model"])
        return json_reply(endpoint.metadata(request.path_params.get("version")))

    async def model_ready(request: Request) -> Reply:
        endpoint = endpoints.get(request.path_params["model"])
        endpoint.metadata(request.path_params.get("version"))
        return json_reply({"name": endpoint.name, "ready": True})

    model = "/v2/models/{model}"
    open_routes = [
        ("/v2", about),
        ("/v2/", about),
        ("/v2/health/live", live),
        ("/v2/health/ready", ready),
        (model, metadata),
        (model + "/versions/{version}", metadata),
        (model + "/ready", model_ready),
        (model + "/versions/{version}/ready", model_ready),
    ]
    routes = [Route(path, _answering(handler)) for path, handler in open_routes]
    return Starlette(
        routes=routes + _control_routes(control), exception_handlers={HTTPException: _no_such_path}
    )


def _control_routes(control: Control) -> list[Route]:
    async def status(_: Request) -> Reply:
        return json_reply(control.status())

    async def reconcile(_: Request) -> Reply:
        loop = asyncio.get_running_loop()
        return json_reply(await loop.run_in_executor(None, control.reconcile))

    async def shutdown(_: Request) -> Reply:
        control.shutdown()
        return json_reply({"stopping": True})

    def guarded(handler: Handler) -> Handler:
        async def checked(request: Request) -> Reply:
            given = request.headers.get("authorization", "").encode()
            if not secrets.compare_digest(given, b"Bearer " + control.token):
                raise UserError("bad_token", "The control paths need this hub's own token.")
            return await handler(request)

        return checked

    return [
        Route("/kamld/status", _answering(guarded(status))),
        Route("/kamld/reconcile", _answering(guarded(reconcile)), methods=["POST"]),
        Route("/kamld/shutdown", _answering(guarded(shutdown)), methods=["POST"]),
    ]


def _answering(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            made = await handler(request)
        except Exception as error:  # noqa: BLE001 a bad request must not end the server
            made = error_reply(error)
        response = Response(made.body, made.status)
        response.raw_headers = made.headers
        return response

    return endpoint


async def _no_such_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem: KamldError = NotFound(
        "unknown_path",
        f"There is nothing at {request.method} {request.url.path[:100]}.",
        "Paths are those of the Open Inference Protocol v2, as POST /v2/models/NAME/infer.",
    )
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        problem = SystemFault("internal", "The server met an error of its own.")
    made = error_reply(problem)
    return Response(made.body, error.status_code, dict(error.headers or {}), "application/json")
