"""Files in other places, whatever the place: a path of this machine, a bucket, a web server.

Credentials are what the door that was passed read; none is ever kept.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Lock

from kamld import clock
from kamld.blobs.bucket import SCHEMES, Bucket
from kamld.blobs.web import Found, Web
from kamld.errors import NotFound, filesystem_fault


class Foreign:
    """Safe to use from several threads."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self._buckets: dict[str, Bucket] = {}
        self._web: Web | None = None
        self._lock = Lock()

    @property
    def web(self) -> Web:
        self._web = self._web or Web(self.environment)
        return self._web

    def bucket(self, address: str) -> tuple[Bucket, str]:
        """The bucket, and the key in it that the address names."""
        scheme, _, rest = address.partition("://")
        name, _, key = rest.partition("/")
        top = f"{scheme}://{name}"
        with self._lock:
            if top not in self._buckets:
                self._buckets[top] = Bucket(top, self.environment)
            return self._buckets[top], key

    def find(self, address: str) -> Found | None:
        """What is there now; None: nothing."""
        if is_bucket(address):
            bucket, key = self.bucket(address)
            thing = bucket.find(key)
            return Found(thing.size, thing.etag, thing.modified) if thing else None
        if is_web(address):
            try:
                opened = self.web.open(address, 0, 1)
            except NotFound:
                return None
            assert opened is not None
            opened.pieces.close()  # type: ignore[attr-defined]
            return opened.found
        try:
            return found_in(os.stat(address))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise filesystem_fault(error, address) from None

    def read(self, address: str, start: int, end: int) -> bytes:
        """Bytes `start` to before `end`, or fewer where it ends earlier. Raises NotFound, SystemFault."""
        if is_bucket(address):
            bucket, key = self.bucket(address)
            return bucket.read(key, start, end)
        if is_web(address):
            opened = self.web.open(address, start, end)
            assert opened is not None
            skipped = start - opened.start
            return b"".join(opened.pieces)[skipped:]
        try:
            file = os.open(address, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return os.pread(file, end - start, start)
            finally:
                os.close(file)
        except FileNotFoundError:
            raise NotFound("unknown_address", f"There is nothing at {address}.") from None
        except OSError as error:
            raise filesystem_fault(error, address) from None


def is_bucket(address: str) -> bool:
    return address.partition("://")[0] in SCHEMES and "://" in address


def is_web(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def found_in(state: os.stat_result) -> Found:
    modified = clock.text(datetime.fromtimestamp(state.st_mtime, UTC))
    return Found(state.st_size, f"{state.st_mtime_ns}", modified)
