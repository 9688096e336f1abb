"""Servers that imports are tested against: a web server that can misbehave, and an S3 one."""

import contextlib
import http.server
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

PEERS = Path(sys.prefix) / "test-peers"


class Web:
    """Files by path. `cut`: answers end after so many bytes, `cuts`: the next ones do; `ranges`: whether it
    knows them; `lie`: how much longer it says that a file is; `then`: what a file is after each answer."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []  # path, range
        self.secrets: list[str] = []
        self.redirects: dict[str, str] = {}
        self.cut, self.ranges, self.failures, self.length = 0, True, 0, True
        self.cuts: list[int] = []
        self.lie = 0
        self.etags = True
        self.then: list[bytes] = []
        self.headers: dict[str, str] = {}
        self.address = ""


@contextlib.contextmanager
def web_server() -> Iterator[Web]:
    web = Web()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, asked = self.path.partition("?")[0], self.headers.get("Range", "")
            web.asked.append((path, asked))
            web.secrets.append(self.headers.get("Authorization", ""))
            if web.failures:
                web.failures -= 1
                self.send_error(503)
                return
            if path in web.redirects:
                self.send_response(302)
                self.send_header("Location", web.redirects[path])
                self.end_headers()
                return
            if path not in web.files:
                self.send_error(404)
                return
            self._answer(web.files[path], asked)

        def _answer(self, data: bytes, asked: str) -> None:
            etag = f'"{hash(data)}"'
            if self.headers.get("If-None-Match") == etag:
                self.send_response(304)
                self.end_headers()
                return
            start, end, status = 0, len(data), 200
            if asked and web.ranges and self.headers.get("If-Range", etag) == etag:
                low, _, high = asked.removeprefix("bytes=").partition("-")
                start, end, status = int(low), min(int(high) + 1 if high else len(data), len(data)), 206
            if start >= len(data) and status == 206:
                self.send_error(416)
                return
            self.send_response(status)
            if web.etags:
                self.send_header("ETag", etag)
            for name, value in web.headers.items():
                self.send_header(name, value)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data) + web.lie}")
            if web.length:
                self.send_header("Content-Length", str(end - start + web.lie))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(data[start:end][: web.cuts.pop(0) if web.cuts else web.cut or None])
            if web.then:
                web.files[self.path.partition("?")[0]] = web.then.pop(0)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(PEERS / "s3/bin/python"), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(300):
                with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/moto-api/"):
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


@contextlib.contextmanager
def s3_bucket(name: str) -> Iterator[dict[str, str]]:
    """The variables by which a bucket on a server of its own is reached."""
    with s3_server() as address:
        asked = Request(f"{address}/{name}", method="PUT", headers={"Authorization": "AWS k:s"})
        with urlopen(asked):
            yield {
                "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": address,
            }  # fmt: skip
