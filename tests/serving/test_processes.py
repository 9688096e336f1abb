"""The supervisor and the server as processes: what dies, what comes back, what is told."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kamld.errors import KamldError, NotFound, SystemFault
from kamld.serving import launch, state
from kamld.serving.client import Client
from kamld.serving.predictions import find
from kamld.serving.supervisor import listen
from tests.serving.conftest import Hub, eventually

ROW = json.dumps(
    {"inputs": [{"name": "X", "shape": [1, 64], "datatype": "FP32", "data": [1.0] * 64}]}
).encode()


@pytest.fixture
def deployed(hub: Hub, digits: Path) -> Hub:
    hub.deploy("digits", hub.model("digits-net", "v1", digits))
    done = hub.reconciled()
    assert [e.state for e in done.endpoints] == ["serving"]
    return hub


def infer(client: Client) -> str:
    answer = json.loads(client.infer("digits", ROW).body)
    prediction: str = answer["parameters"]["kamld_prediction_id"]
    return prediction


def is_alive(pid: int) -> bool:
    path = Path(f"/proc/{pid}/stat")
    return path.exists() and path.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def restarts(hub: Hub) -> int:
    found = state.read(hub.serving)
    assert found is not None
    return found.restarts


def test_it_goes_on_when_the_command_that_started_it_ends(hub: Hub, digits: Path) -> None:
    hub.deploy("digits", hub.model("digits-net", "v1", digits))
    start = "import sys; from pathlib import Path; from kamld.serving import launch; "
    start += "print(launch.reconciled(Path(sys.argv[1]), sys.argv[2:]).endpoints[0].state)"
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", start, str(hub.serving), *hub.command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("serving\n", "", 0)
    assert infer(hub.client)


def test_the_state_file_is_the_owners_alone(deployed: Hub) -> None:
    found = state.read(deployed.serving)
    assert found is not None
    assert found.state == "running"
    assert found.url == f"http://127.0.0.1:{found.port}"
    assert stat.S_IMODE((deployed.serving / "serving.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(deployed.serving.stat().st_mode) == 0o700
    assert os.readlink(f"/proc/{found.pid}/cwd") == "/"
    words = Path(f"/proc/{deployed.client.status().pid}/cmdline").read_text()
    assert found.token not in words


def test_a_killed_server_comes_back_with_its_endpoints(deployed: Hub) -> None:
    before = infer(deployed.client)
    pid, url = deployed.client.status().pid, deployed.client.url
    eventually(lambda: find(deployed.predictions, before))
    os.kill(pid, signal.SIGKILL)
    after = infer(deployed.client)  # waits in the supervisor's socket, is not refused
    assert deployed.client.url == url
    assert deployed.client.status().pid != pid
    assert restarts(deployed) == 1
    found = state.read(deployed.serving)
    assert found is not None
    assert found.last_exit == "killed by SIGKILL"
    eventually(lambda: find(deployed.predictions, after))
    for prediction in (before, after):
        line = find(deployed.predictions, prediction)
        assert line is not None
        assert (line.status, line.version) == (200, "v1")


def test_no_answer_that_was_given_is_missing_in_the_log(deployed: Hub) -> None:
    given = [infer(deployed.client) for _ in range(300)]
    deployed.end()
    assert all(find(deployed.predictions, prediction) for prediction in given)


def test_a_killed_supervisor_takes_the_server_with_it_and_the_next_command_starts_anew(
    deployed: Hub,
) -> None:
    found = state.read(deployed.serving)
    assert found is not None
    server = deployed.client.status().pid
    os.kill(found.pid, signal.SIGKILL)
    eventually(lambda: not is_alive(server))
    eventually(lambda: launch.running(deployed.serving) is None)
    deployed.reconciled()
    again = state.read(deployed.serving)
    assert again is not None
    assert again.pid != found.pid
    assert again.port == found.port
    assert again.token != found.token
    assert infer(deployed.client)


def test_right_after_the_supervisor_was_killed(deployed: Hub) -> None:
    found = state.read(deployed.serving)
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)
    assert [e.state for e in deployed.reconciled().endpoints] == ["serving"]
    assert infer(deployed.client)


def test_only_one_supervisor_however_many_start_it(hub: Hub, digits: Path) -> None:
    hub.deploy("digits", hub.model("digits-net", "v1", digits))
    urls: list[str] = []

    def start() -> None:
        urls.append(launch.ensure_running(hub.serving, hub.command).url)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(urls) == 4
    assert len(set(urls)) == 1
    found = state.read(hub.serving)
    assert found is not None
    others = [
        p
        for p in Path("/proc").glob("[0-9]*/cmdline")
        if str(hub.folder) in read(p)
        and "--listener" not in read(p)
        and p.parent.name != str(found.pid)
        and is_alive(int(p.parent.name))
    ]
    eventually(lambda: not [p for p in others if is_alive(int(p.parent.name))])


def read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def test_stopping_the_last_endpoint_ends_the_process(deployed: Hub, digits: Path) -> None:
    deployed.deploy("second", deployed.model("digits-net", "v1", digits))
    deployed.reconciled()
    deployed.stop("digits")
    left = deployed.client.reconcile()
    assert ([e.name for e in left.endpoints], left.stopping) == (["second"], False)
    with pytest.raises(NotFound, match="Served: second"):
        infer(deployed.client)
    deployed.stop("second")
    client = deployed.client
    assert client.reconcile().stopping
    assert launch.wait_ended(deployed.serving, wait_s=10)
    assert launch.running(deployed.serving) is None
    with pytest.raises(SystemFault, match="No server answers") as caught:
        infer(client)
    assert caught.value.code == "server_not_running"


def test_deploying_while_it_ends(deployed: Hub, digits: Path) -> None:
    for number in range(3):
        deployed.stop("digits")
        assert deployed.client.reconcile().stopping
        deployed.deploy("digits", deployed.model("digits-net", f"v{number}", digits))
        (endpoint,) = deployed.reconciled().endpoints
        assert endpoint.state == "serving"
        assert infer(deployed.client)


def test_shutdown_answers_what_is_under_way(deployed: Hub) -> None:
    rows = 20_000
    x = {"name": "X", "shape": [rows, 64], "datatype": "FP32"}
    head = {"inputs": [{**x, "parameters": {"binary_data_size": rows * 256}}]}
    encoded = json.dumps(head).encode()
    body = encoded + np.ones((rows, 64), "<f4").tobytes()
    client = deployed.client
    answers: list[int] = []

    def ask() -> None:
        answers.append(len(client.infer("digits", body, json_length=len(encoded)).body))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.15)
    client.shutdown()
    for thread in threads:
        thread.join()
    assert launch.wait_ended(deployed.serving, wait_s=20)
    assert len(answers) == 8
    lines = [line for p in deployed.predictions.iterdir() for line in p.read_text().splitlines()]
    assert len(lines) == 8


def test_a_new_version_takes_over_without_a_dropped_request(deployed: Hub, digits: Path) -> None:
    stop = threading.Event()
    versions: list[str] = []
    errors: list[KamldError] = []
    client = deployed.client

    def ask() -> None:
        while not stop.is_set():
            try:
                versions.append(json.loads(client.infer("digits", ROW).body)["model_version"])
            except KamldError as error:
                errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    deployed.deploy("digits", deployed.model("digits-net", "v2", digits))
    deployed.reconciled()
    eventually(lambda: versions and versions[-1] == "v2")
    stop.set()
    thread.join()
    assert not errors
    assert versions == sorted(versions)


def test_a_version_that_cannot_be_loaded(deployed: Hub, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    deployed.deploy("digits", deployed.model("digits-net", "v2", tmp_path))
    (endpoint,) = deployed.reconciled().endpoints
    assert endpoint.state == "behind"
    assert endpoint.trouble is not None
    assert endpoint.trouble.code == "damaged_model"
    assert "default/digits-net v2" in endpoint.trouble.message
    os.kill(deployed.client.status().pid, signal.SIGKILL)
    assert json.loads(deployed.client.infer("digits", ROW).body)["model_version"] == "v1"


def test_requests_wait_for_models_that_are_being_loaded(deployed: Hub) -> None:
    deployed.settings(loading_s=1)
    os.kill(deployed.client.status().pid, signal.SIGKILL)
    eventually(deployed.client.live)
    with pytest.raises(SystemFault):
        deployed.client._call("GET", "/v2/health/ready")
    assert infer(deployed.client)


def test_a_busy_port_that_was_asked_for(hub: Hub, digits: Path) -> None:
    hub.deploy("digits", hub.model("digits-net", "v1", digits))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        hub.settings(port=port)
        with pytest.raises(SystemFault, match=f"Port {port} on 127.0.0.1 is in use") as caught:
            hub.reconciled()
    assert caught.value.code == "port_in_use"
    assert caught.value.exit_status == 3
    assert launch.running(hub.serving) is None
    hub.reconciled()
    assert hub.client.url.endswith(f":{port}")


def test_a_busy_port_that_nobody_asked_for() -> None:
    with listen("127.0.0.1", 0) as one, listen("127.0.0.1", 0) as two:
        assert one.getsockname()[1] != two.getsockname()[1]
        last = two.getsockname()[1]
    with listen("127.0.0.1", 0, last) as again:
        assert again.getsockname()[1] == last


def test_a_host_that_is_not_ours() -> None:
    for host in ("203.0.113.7", "no such host"):
        with pytest.raises(SystemFault, match="not an address of this machine"):
            listen(host, 0)


def test_a_server_that_cannot_even_start(hub: Hub) -> None:
    hub.settings(crash=True)
    with pytest.raises(SystemFault, match="the server cannot even start") as caught:
        launch.ensure_running(hub.serving, hub.command)
    assert caught.value.code == "serving_not_started"
    assert str(hub.serving) in caught.value.hint
    assert restarts(hub) >= 3


def test_a_supervisor_that_cannot_be_started(hub: Hub) -> None:
    with pytest.raises(SystemFault, match="Cannot start"):
        launch.ensure_running(hub.serving, ["/nowhere/python"])
    with pytest.raises(SystemFault, match="ended at once: oh no"):
        launch.ensure_running(hub.serving, [sys.executable, "-c", "raise SystemExit('oh no')"])


def test_a_supervisor_told_to_end_while_it_waits_to_start_again(hub: Hub) -> None:
    hub.settings(crash=True)
    process = launch._start(hub.serving, hub.command)
    eventually(lambda: state.read(hub.serving) and restarts(hub) >= 3)
    process.terminate()
    assert process.wait(10) == 0


def test_no_light_command_pays_for_the_server() -> None:
    heavy = ("numpy", "onnxruntime", "uvicorn", "starlette", "PIL", "uvloop")
    check = "import sys, kamld.serving.client, kamld.serving.launch, kamld.serving.deployments;"
    check += f"print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_is_unused_is_not_there(new_hub: Callable[[], Hub]) -> None:
    hub = new_hub()
    assert launch.running(hub.serving) is None
    assert launch.wait_ended(hub.serving, wait_s=0)
    assert not hub.serving.exists()
