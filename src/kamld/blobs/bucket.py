"""Foreign buckets (S3, Google, Azure): list, read by ranges, put. The only module that knows obstore.

A hub is not in here: this is about other people's files. What it says has no secrets in it, so the
texts of obstore's own errors, which may, are not passed on.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from kamld import clock
from kamld.errors import Invalid, KamldError, NotFound, SystemFault

SCHEMES = ("s3", "gs", "az", "abfs", "abfss")
BLOCK = 8 * 1024 * 1024  # bytes fetched by one request
PART = 16 * 1024 * 1024  # bytes of a part, where an object is put in several
_PARTS_MAX = 9_000  # S3 takes 10,000
_PARTS_AT_ONCE = 3
_KEY = re.compile(r'Path "([^"\n]*)"')  # in what obstore says of one that it cannot take
_AMAZON = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
    "AWS_DEFAULT_REGION": "region",
    "AWS_REGION": "region",
    "AWS_ENDPOINT_URL": "endpoint",
    "AWS_ENDPOINT_URL_S3": "endpoint",
}
_ROLES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_GOOGLE = {
    "GOOGLE_SERVICE_ACCOUNT": "google_service_account",
    "GOOGLE_APPLICATION_CREDENTIALS": "google_application_credentials",
}
_AZURE = {
    "AZURE_STORAGE_ACCOUNT_NAME": "account_name",
    "AZURE_STORAGE_ACCOUNT_KEY": "account_key",
    "AZURE_STORAGE_SAS_TOKEN": "sas_token",
}


@dataclass(frozen=True, slots=True)
class Thing:
    """An object in a bucket."""

    key: str
    size: int
    etag: str
    modified: str


class Bucket:
    """The bucket of an address such as s3://bucket/prefix. Safe to use from several threads."""

    def __init__(self, address: str, environment: Mapping[str, str]) -> None:
        parts = urlsplit(address)
        if parts.scheme not in SCHEMES or not parts.netloc:
            raise Invalid("bad_address", f"{address} names no bucket.", "Write s3://BUCKET/PREFIX.")
        self.top = f"{parts.scheme}://{parts.netloc}"
        self._store = _open(parts.scheme, parts.netloc, environment)

    def list(self, prefix: str) -> Iterator[Thing]:
        """Everything below the folder `prefix` ("" is all), sorted by key."""
        import obstore

        with self._told(prefix):
            for part in obstore.list(self._store, prefix or None):
                yield from (_thing(meta) for meta in part)

    def find(self, key: str) -> Thing | None:
        import obstore

        try:
            with self._told(key):
                return _thing(obstore.head(self._store, key))
        except NotFound:
            return None

    def read(self, key: str, start: int, end: int, etag: str = "") -> bytes:
        """Bytes `start` to before `end`, of the version that has this etag.

        Raises NotFound (gone), Invalid (changed_meanwhile) …
        """
        import obstore

        if start >= end:
            return b""
        options: Any = {"range": (start, end)} | ({"if_match": etag} if etag else {})
        with self._told(key):
            return bytes(obstore.get(self._store, key, options=options).bytes())

    def stream(self, thing: Thing, start: int = 0) -> Iterator[bytes]:
        """Raises as `read`."""
        for at in range(start, thing.size, BLOCK):
            try:
                yield self.read(thing.key, at, min(at + BLOCK, thing.size), thing.etag)
            except NotFound:
                place = f"{self.top}/{thing.key}"
                raise NotFound(
                    "unknown_address", f"{place} was listed, and there is nothing to read: it was deleted"
                    " meanwhile, or its key ends in a slash.", "Copy it to another key, which can be read.",
                ) from None  # fmt: skip

    def put(self, key: str, content: bytes | Iterable[bytes], size: int) -> str:
        """Its etag. All or nothing: a large one goes in parts, and appears when it is whole. The server
        checks what it gets (S3: by SHA-256). Raises Invalid (refused_by_server), SystemFault."""
        import obstore

        part = max(PART, -(-size // _PARTS_MAX))
        with self._told(key, "written"):
            done = obstore.put(self._store, key, content, chunk_size=part, max_concurrency=_PARTS_AT_ONCE)
        return done["e_tag"] or ""

    def delete(self, keys: Sequence[str]) -> None:
        """Raises as `put`; no error for one that is gone already."""
        import obstore

        with self._told(keys[0] if keys else "", "deleted"):
            obstore.delete(self._store, list(keys))

    @contextmanager
    def _told(self, key: str, done: str = "read") -> Iterator[None]:
        """Obstore's errors as ours."""
        from obstore import exceptions

        try:
            yield
        except (exceptions.BaseError, FileNotFoundError) as error:
            raise _fault(f"{self.top}/{key}", type(error).__name__, str(error), done) from None


def _open(scheme: str, name: str, environment: Mapping[str, str]) -> Any:
    from obstore import store

    retry: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
    client: Any = {"timeout": timedelta(seconds=120)}
    if scheme == "gs":
        return store.GCSStore(name, config=_config(_GOOGLE, environment), retry_config=retry)
    if scheme != "s3":
        return store.AzureStore(name, config=_config(_AZURE, environment), retry_config=retry)
    config = _config(_AMAZON, environment)
    if not config.get("access_key_id") and not any(environment.get(name) for name in _ROLES):
        config["skip_signature"] = True  # a public bucket; nobody waits for a cloud that is not there
    config["checksum_algorithm"] = "SHA256"
    if config.get("endpoint", "").startswith("http://"):
        client["allow_http"] = True
    return store.S3Store(name, config=config, client_options=client, retry_config=retry)


def _config(names: Mapping[str, str], environment: Mapping[str, str]) -> Any:
    return {ours: environment[theirs] for theirs, ours in names.items() if environment.get(theirs)}


def _thing(meta: Any) -> Thing:
    return Thing(meta["path"], meta["size"], meta["e_tag"] or "", clock.text(meta["last_modified"]))


def _fault(place: str, kind: str, text: str, done: str) -> KamldError:
    if "NoSuchBucket" in text:
        return NotFound("unknown_address", f"There is no bucket for {place}.", "Look at the address again.")
    if kind in ("NotFoundError", "FileNotFoundError"):
        return NotFound("unknown_address", f"There is nothing at {place}.", "Look at the address again.")
    if kind == "InvalidPathError":
        named = _KEY.search(text)
        key = named[1] if named else place.split("/", 3)[3]
        return Invalid(
            "bad_key",
            f'The key "{key}" in {"/".join(place.split("/")[:3])} cannot be a path here: a part of it is'
            " empty, . or .., or has letters that no path has.",
            "Copy that object to another key and delete it, or import what is beside it.",
        )
    if kind == "PreconditionError":
        return SystemFault(
            "changed_meanwhile", f"{place} was changed while it was {done}. Nothing was changed here.",
            "Do it again.",
        )  # fmt: skip
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or "status 403" in text.lower():
        return Invalid(
            "refused_by_server",
            f"{place} was refused: there are no credentials for it, or others than these are wanted.",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (for other clouds, theirs); they are not kept.",
        )
    return SystemFault(
        "unreachable", f"{place} cannot be reached ({kind}).",
        "Look at the address, AWS_REGION and AWS_ENDPOINT_URL, and the network.",
    )  # fmt: skip
