"""POST …/infer: the one path that is hot, so it is plain ASGI.

Quick models are answered on the event loop, others on worker threads (see kamld.serving.pace);
onnxruntime releases Python's lock, so health is answered meanwhile.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from kamld import ids
from kamld.errors import KamldError, SystemFault
from kamld.ids import PredictionId
from kamld.records.deployment import Prediction
from kamld.serving.endpoints import Endpoint, Endpoints, Served
from kamld.serving.http.bodies import Bodies, ClientGone
from kamld.serving.http.replies import BINARY, JSON, Reply, error_reply, reply, status_of
from kamld.serving.models.summary import summary
from kamld.serving.oip.answers import encode_answer
from kamld.serving.oip.requests import LENGTH_HEADER, decode_request
from kamld.serving.predictions import PredictionLog, time_text

_PREFIX = "/v2/models/"
_SETTLING_MAX_S = 60  # how long a request waits for models that are still being loaded
_LENGTH_HEADER = LENGTH_HEADER.encode()


class Inference:
    def __init__(
        self,
        endpoints: Endpoints,
        log: PredictionLog,
        *,
        request_bytes: int,
        log_outputs: bool,
        workers: int,
    ) -> None:
        self._endpoints = endpoints
        self._log = log
        self._bodies = Bodies(request_bytes)
        self._log_outputs = log_outputs
        self._workers = ThreadPoolExecutor(workers, "inference")

    async def answer(self, name: str, version: str | None, scope: Any, receive: Any) -> Reply:
        """Raises ClientGone when there is nobody to answer."""
        headers = dict(scope["headers"])
        try:
            endpoint = await self._endpoint(name)
            served = endpoint.choose(version)
        except KamldError as error:
            return error_reply(error)
        id = ids.new_prediction_id(endpoint.event.key, served.slot)
        with self._bodies.one() as incoming:
            try:
                body = await incoming.read(headers, receive)
            except KamldError as error:
                return self._failed(endpoint, served, id, error, time.perf_counter())
            given = headers.get(_LENGTH_HEADER)
            length = given.decode("latin-1") if given is not None else None
            started = time.perf_counter()
            if served.pace.quick(len(body)):
                return self._inferred(endpoint, served, id, body, length, started)
            return await asyncio.get_running_loop().run_in_executor(
                self._workers, self._inferred, endpoint, served, id, body, length, started
            )

    async def _endpoint(self, name: str) -> Endpoint:
        try:
            return self._endpoints.get(name)
        except KamldError:
            if self._endpoints.settled.is_set():
                raise
        waited = time.monotonic()
        while not self._endpoints.settled.is_set():
            if time.monotonic() - waited > _SETTLING_MAX_S:
                raise SystemFault(
                    "server_starting", "The server is still loading its models.", "Try again soon."
                )
            await asyncio.sleep(0.02)
        return self._endpoints.get(name)

    def _inferred(
        self,
        endpoint: Endpoint,
        served: Served,
        id: PredictionId,
        body: bytes,
        length: str | None,
        started: float,
    ) -> Reply:
        model = served.model
        began = time.perf_counter()
        try:
            request = decode_request(body, length, model.inputs, model.outputs)
            arrays = model.run(request.tensors, request.outputs)
            prediction = str(id)
            encoded = encode_answer(
                model=endpoint.name,
                version=served.version.version,
                prediction=prediction,
                id=request.id,
                specs=request.outputs,
                arrays=arrays,
                binary=request.binary,
            )
            said = ""
            if self._log_outputs:
                outputs = {s.name: a for s, a in zip(request.outputs, arrays, strict=True)}
                said = summary(outputs, model.classes)
        except Exception as error:  # noqa: BLE001 a bad request must not end the server
            return self._failed(endpoint, served, id, error, started)
        kind = JSON if encoded.json_length is None else BINARY
        made = reply(HTTPStatus.OK, encoded.body, kind, prediction)
        if encoded.json_length is not None:
            made.headers.append((_LENGTH_HEADER, b"%d" % encoded.json_length))
        ended = time.perf_counter()
        served.pace.note((ended - began) * 1000)
        self._note(endpoint, served, id, HTTPStatus.OK, (ended - started) * 1000, said, "")
        return made

    def _failed(
        self, endpoint: Endpoint, served: Served, id: PredictionId, error: Exception, started: float
    ) -> Reply:
        ms = (time.perf_counter() - started) * 1000
        text = str(error) if isinstance(error, KamldError) else f"{type(error).__name__}: {error}"
        self._note(endpoint, served, id, status_of(error), ms, "", text[:500])
        return error_reply(error, str(id))

    def _note(
        self,
        endpoint: Endpoint,
        served: Served,
        id: PredictionId,
        status: int,
        ms: float,
        said: str,
        error: str,
    ) -> None:
        def line() -> Prediction:
            return Prediction(
                id=str(id),
                time=time_text(id),
                endpoint=endpoint.name,
                project=endpoint.project,
                version=served.version.version,
                status=int(status),
                ms=round(ms, 3),
                answer=said,
                error=error,
            )

        self._log.append(id, line)

    def close(self) -> None:
        self._workers.shutdown()


def target(path: str) -> tuple[str, str | None] | None:
    """Model and version of an infer path, or None for any other path."""
    if not (path.startswith(_PREFIX) and path.endswith("/infer")):
        return None
    parts = path[len(_PREFIX) :].split("/")
    if len(parts) == 2:
        return parts[0], None
    if len(parts) == 4 and parts[1] == "versions":
        return parts[0], parts[2]
    return None


async def gone_is_fine(answer: Any, send: Any) -> None:
    """Send what `answer` comes to, unless its client hung up."""
    try:
        made: Reply = await answer
    except ClientGone:
        return
    await made.send(send)
