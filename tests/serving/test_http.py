"""The wire: a real server, spoken to byte by byte and by Triton's own client."""

import http.client
import json
import math
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import tritonclient.http as triton
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from tritonclient.utils import InferenceServerException

from kamld import ids
from kamld.records.deployment import Prediction
from kamld.serving import launch
from kamld.serving.predictions import find
from tests.serving.conftest import NAMES, Hub, eventually

PIXELS, LABELS = load_digits(return_X_y=True)
PIXELS = PIXELS.astype(np.float32)


def address(hub: Hub) -> tuple[str, int]:
    url = urlsplit(hub.client.url)
    return url.hostname or "", url.port or 0


def call(
    hub: Hub, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(*address(hub), timeout=20)
    try:
        encoded = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, encoded, headers or {})
        response = connection.getresponse()
        content = response.read()
        answer_headers = {name.lower(): value for name, value in response.getheaders()}
        is_json = answer_headers["content-type"] == "application/json"
        return response.status, answer_headers, json.loads(content) if is_json else content
    finally:
        connection.close()


def rows(count: int = 1, **changes: Any) -> dict[str, Any]:
    x = {"name": "X", "shape": [count, 64], "datatype": "FP32", "data": PIXELS[:count].tolist()}
    return {"inputs": [{**x, **changes}]}


def logged(hub: Hub, prediction: str) -> Prediction:
    eventually(lambda: find(hub.predictions, prediction))
    found = find(hub.predictions, prediction)
    assert found is not None
    return found


# --- everything but inference


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server(served: Hub, path: str) -> None:
    status, _, body = call(served, "GET", path)
    assert (status, body["name"], body["extensions"]) == (200, "kamld", ["binary_tensor_data"])


def test_health(served: Hub) -> None:
    assert call(served, "GET", "/v2/health/live")[::2] == (200, {"live": True})
    assert call(served, "GET", "/v2/health/ready")[::2] == (200, {"live": True, "ready": True})


@pytest.mark.parametrize("path", ["", "/versions/v4", "/versions/4"])
def test_a_model(served: Hub, path: str) -> None:
    status, _, body = call(served, "GET", f"/v2/models/digits{path}")
    assert status == 200
    assert body == {
        "name": "digits",
        "versions": ["v4"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 64]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
        ],
        "parameters": {"classes": list(NAMES)},
    }
    ready = call(served, "GET", f"/v2/models/digits{path}/ready")
    assert ready[::2] == (200, {"name": "digits", "ready": True})


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/v2/models/roses", 404, "Served: digits, echo."),
        ("GET", "/v2/models/digits/versions/v9/ready", 404, "It serves: v4."),
        ("POST", "/v2/models/roses/infer", 404, "Served: digits, echo."),
        ("POST", "/v2/models/digits/versions/v9/infer", 404, "It serves: v4."),
        ("GET", "/v2/models/digits/infer", 404, "nothing at GET"),
        ("POST", "/v2/models/a/b/c/infer", 404, "nothing at POST"),
        ("GET", "/elsewhere", 404, "nothing at GET /elsewhere"),
        ("DELETE", "/v2", 405, "nothing at DELETE"),
        ("GET", "/kamld/status", 401, "token"),
        ("POST", "/kamld/reconcile", 401, "token"),
        ("POST", "/kamld/shutdown", 401, "token"),
    ],
)
def test_what_is_not_there(served: Hub, method: str, path: str, status: int, says: str) -> None:
    got, headers, body = call(served, method, path, {} if method == "POST" else None)
    assert got == status
    assert says in body["error"]
    assert "kamld-prediction-id" not in headers


def test_a_wrong_token(served: Hub) -> None:
    for token in ("Bearer x", "Bearer ", "é"):
        headers = {"Authorization": token.encode().decode("latin-1")}
        assert call(served, "POST", "/kamld/shutdown", b"", headers)[0] == 401


# --- inference


def test_json_to_json(served: Hub) -> None:
    status, headers, body = call(served, "POST", "/v2/models/digits/infer", {"id": "7", **rows(3)})
    assert status == 200
    assert (body["model_name"], body["model_version"], body["id"]) == ("digits", "v4", "7")
    label, probabilities = body["outputs"]
    assert label == {"name": "label", "datatype": "INT64", "shape": [3], "data": [0, 1, 2]}
    assert probabilities["shape"] == [3, 10]
    assert len(probabilities["data"]) == 30
    prediction = headers["kamld-prediction-id"]
    assert body["parameters"] == {"kamld_prediction_id": prediction}
    id = ids.parse_prediction_id(prediction)
    assert (id.event, id.slot) == (served.events[0].key, 0)
    line = logged(served, prediction)
    assert (line.endpoint, line.project, line.version, line.status) == ("digits", "default", "v4", 200)
    assert line.answer.startswith("null ")
    assert line.ms > 0


def test_flat_data_and_one_output(served: Hub) -> None:
    body = {**rows(2, data=PIXELS[:2].ravel().tolist()), "outputs": [{"name": "label"}]}
    _, _, answer = call(served, "POST", "/v2/models/digits/versions/4/infer", body)
    assert [output["data"] for output in answer["outputs"]] == [[0, 1]]


def test_a_raw_body(served: Hub) -> None:
    headers = {"Inference-Header-Content-Length": "0"}
    body = PIXELS[:2].astype("<f4").tobytes()
    status, answered, content = call(served, "POST", "/v2/models/digits/infer", body, headers)
    length = int(answered["inference-header-content-length"])
    head = json.loads(content[:length])
    assert status == 200
    assert [o["parameters"]["binary_data_size"] for o in head["outputs"]] == [16, 80]
    assert np.frombuffer(content[length : length + 16], "<i8").tolist() == [0, 1]
    assert len(content) == length + 96


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (rows(shape=[1, 63]), 'Input "X" has shape [1,63]; expected [-1,64] FP32.'),
        (rows(datatype="FP64"), 'Input "X" has type FP64; expected FP32 [-1,64].'),
        (rows(name="Y"), 'Input "Y" is not an input of this model. Expected: X (FP32 [-1,64]).'),
        (rows(data=[1, 2]), "2 elements, but its shape [1,64] holds 64"),
        (rows(data=["a"] * 64), "data that is not FP32"),
        ({"inputs": []}, 'Input "X" is missing.'),
        (b"{", "not an inference request"),
        (b"", "no body"),
    ],
)
def test_a_tensor_that_does_not_fit(served: Hub, body: Any, says: str) -> None:
    status, headers, answer = call(served, "POST", "/v2/models/digits/infer", body)
    assert status == 400
    assert says in answer["error"]
    prediction = headers["kamld-prediction-id"]
    assert answer["parameters"]["kamld_prediction_id"] == prediction
    line = logged(served, prediction)
    assert (line.status, line.answer) == (400, "")
    assert says in line.error


def test_too_large_a_request(served: Hub) -> None:
    body = rows(9000, data=[123.5] * 9000 * 64)
    status, headers, answer = call(served, "POST", "/v2/models/digits/infer", body)
    assert status == 413
    assert "the most accepted is 2.0 MB" in answer["error"]
    assert logged(served, headers["kamld-prediction-id"]).status == 413


def test_too_large_without_saying_so_first(served: Hub) -> None:
    with socket.create_connection(address(served), timeout=20) as connection:
        head = "POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        for _ in range(30):
            connection.sendall(b"%x\r\n%s\r\n" % (100_000, b" " * 100_000))
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_client_that_waits_to_be_told_to_send(served: Hub) -> None:
    with socket.create_connection(address(served), timeout=20) as connection:
        head = (
            "POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n"
            "Expect: 100-continue\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_client_that_hangs_up(served: Hub) -> None:
    with socket.create_connection(address(served), timeout=20) as connection:
        head = "POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{"
        connection.sendall(head.encode())
    time.sleep(0.1)
    assert call(served, "POST", "/v2/models/digits/infer", rows())[0] == 200
    assert "Traceback" not in served.log()


def test_compressed_requests_are_refused(served: Hub) -> None:
    headers = {"Content-Encoding": "gzip"}
    status, _, answer = call(served, "POST", "/v2/models/digits/infer", b"\x1f\x8b", headers)
    assert status == 415
    assert "gzip" in answer["error"]


def echo_request(**changes: Any) -> dict[str, Any]:
    tensors: dict[str, tuple[str, list[Any]]] = {
        "half": ("FP16", []),
        "double": ("FP64", []),
        "text": ("BYTES", []),
        "flag": ("BOOL", []),
        "big": ("UINT64", []),
    }
    return {
        "inputs": [
            {"name": name, "datatype": datatype, "shape": [0, 2], "data": data}
            for name, (datatype, data) in tensors.items()
        ],
        **changes,
    }


def test_half_precision_is_told_to_be_binary(served: Hub) -> None:
    status, _, answer = call(served, "POST", "/v2/models/echo/infer", echo_request())
    assert status == 400
    assert "FP16, which JSON cannot carry" in answer["error"]


@settings(max_examples=150)
@given(
    st.binary(max_size=60),
    st.none() | st.sampled_from(["0", "1", "2", "40", "-3", "99999", "x", "1e3", " 5"]),
    st.sampled_from(["digits", "echo"]),
    st.integers(0, 200),
)
def test_no_bytes_at_all_make_a_500(
    served: Hub, noise: bytes, length: str | None, model: str, cut: int
) -> None:
    head = json.dumps({**rows(1, data=None, parameters={"binary_data_size": 256})}).encode()
    for body in (noise, head[:cut] + noise, head + noise):
        headers = {} if length is None else {"Inference-Header-Content-Length": length}
        assert call(served, "POST", f"/v2/models/{model}/infer", body, headers)[0] in (200, 400)
    exact = {"Inference-Header-Content-Length": str(len(head))}
    assert call(served, "POST", f"/v2/models/{model}/infer", head + noise * 5, exact)[0] == 400


def test_health_answers_while_models_work(served: Hub) -> None:
    body = json.dumps(rows(1200, data=PIXELS[:1200].ravel().tolist())).encode()
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            assert call(served, "POST", "/v2/models/digits/infer", body)[0] == 200

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    slowest = 0.0
    for _ in range(20):
        began = time.perf_counter()
        assert call(served, "GET", "/v2/health/live")[0] == 200
        slowest = max(slowest, time.perf_counter() - began)
    done.set()
    for thread in threads:
        thread.join()
    assert slowest < 1.0


# --- Triton's client


@pytest.fixture
def client(served: Hub) -> Any:
    host, port = address(served)
    with triton.InferenceServerClient(f"{host}:{port}") as made:
        yield made


def test_tritons_client_on_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "v4")
    assert not client.is_model_ready("roses")
    assert client.get_server_metadata()["name"] == "kamld"
    assert client.get_model_metadata("digits")["inputs"][0]["shape"] == [-1, 64]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_tritons_client_infers(client: Any, binary_in: bool, binary_out: bool) -> None:
    given = triton.InferInput("X", [5, 64], "FP32")
    given.set_data_from_numpy(PIXELS[:5], binary_data=binary_in)
    wanted = [
        triton.InferRequestedOutput(name, binary_data=binary_out) for name in ("probabilities", "label")
    ]
    result = client.infer("digits", [given], outputs=wanted, request_id="42", model_version="v4")
    assert result.as_numpy("label").tolist() == LABELS[:5].tolist()
    assert result.as_numpy("probabilities").shape == (5, 10)
    assert result.as_numpy("probabilities").dtype == np.float32
    assert result.get_response()["id"] == "42"
    assert ids.is_prediction_id(result.get_response()["parameters"]["kamld_prediction_id"])


def test_tritons_client_and_every_odd_type(client: Any) -> None:
    values = {
        "half": np.array([[1.5, np.inf]], np.float16),
        "double": np.array([[np.nan, 1e300]]),
        "text": np.array([["ja", "größer"]], dtype=object),
        "flag": np.array([[True, False]]),
        "big": np.array([[0, 2**64 - 1]], np.uint64),
    }
    types = {"half": "FP16", "double": "FP64", "text": "BYTES", "flag": "BOOL", "big": "UINT64"}
    given = []
    for name, array in values.items():
        given.append(triton.InferInput(name, [1, 2], types[name]))
        given[-1].set_data_from_numpy(array, binary_data=name in ("half", "double"))
    wanted = [triton.InferRequestedOutput(f"{name}_out", binary_data=name == "half") for name in values]
    result = client.infer("echo", given, outputs=wanted)
    assert np.array_equal(result.as_numpy("half_out"), values["half"])
    assert math.isnan(result.as_numpy("double_out")[0, 0])
    assert result.as_numpy("text_out").tolist() == [["ja", "größer"]]
    assert result.as_numpy("flag_out").tolist() == [[True, False]]
    assert result.as_numpy("big_out").tolist() == [[0, 2**64 - 1]]


def test_tritons_client_is_told_what_was_wrong(client: Any) -> None:
    given = triton.InferInput("X", [1, 63], "FP32")
    given.set_data_from_numpy(PIXELS[:1, :63])
    with pytest.raises(InferenceServerException, match=r"expected \[-1,64\] FP32"):
        client.infer("digits", [given])


def test_status(served: Hub) -> None:
    status = served.client.status()
    assert status.ready
    assert [e.name for e in status.endpoints] == ["digits", "echo"]
    assert status.log_lost == 0
    assert launch.running(served.serving) is not None
