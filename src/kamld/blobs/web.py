"""Reading files from web servers: redirects, retries, going on where a connection was cut.

It only reads. What it says and raises has no secrets in it: an address is shown as `shown` gives it.
"""

import hashlib
import random
import re
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from kamld.errors import Invalid, KamldError, NotFound, SystemFault

if TYPE_CHECKING:  # 30 ms, which only those who read from the web have to wait for
    from http.client import HTTPResponse
    from urllib.request import OpenerDirector, Request

_REDIRECTS = 5
_TRIES = 5
_TIMEOUT_S = 60
_PIECE = 1024 * 1024
_WAIT_MAX_S = 30.0
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_SECRET = re.compile(
    r"(?i)(sig|signature|token|secret|password|passwd|pwd|key|apikey|api_key|auth|credential\w*|session\w*"
    r"|x-amz-.*|x-goog-.*|awsaccesskeyid|googleaccessid|se|sp|sv|sr|st|skoid|sktid|expires|policy|key-pair-id)"
    r"|.*(token|secret|password|signature|api[-_]?key)"
)


def shown(url: str) -> str:
    """The address without what is secret in it: a name and password, signatures and tokens, the fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if not _SECRET.fullmatch(name)]
    query = parts.query if len(kept) == len(pairs) else urlencode(kept)
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


@dataclass(frozen=True, slots=True)
class Found:
    """A file somewhere else, as it was seen. `etag` is whatever changes when the content does, or ""."""

    size: int | None
    etag: str = ""
    modified: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    found: Found
    start: int  # where the pieces begin; 0 also where the server does not know ranges
    pieces: Iterator[bytes]


class Web:
    """`environment` is where proxies are named, as curl reads them."""

    def __init__(self, environment: Mapping[str, str], pause: float = 0.25) -> None:
        self._pause = pause
        self._opener = _opener(environment)

    def open(self, url: str, start: int = 0, end: int | None = None, known: str = "") -> Opened | None:
        """The file from byte `start` to before `end`. None: it is still the one whose etag is `known`.

        The pieces go on by themselves where a connection is cut. Raises NotFound (unknown_address),
        SystemFault (unreachable, refused_by_server, changed_meanwhile, connection_cut).
        """
        headers = {"If-None-Match": known} if known else {}
        answer = self._ask(url, start, end, headers)
        if answer is None:
            return None
        found, begins = _found(answer), start if answer.status == 206 else 0
        ends = [place for place in (end, found.size) if place is not None]
        until = min(ends, default=None)  # a file may end before what was asked for does
        return Opened(found, begins, self._pieces(url, answer, found, begins, until))

    def _pieces(
        self, url: str, answer: "HTTPResponse", found: Found, at: int, end: int | None
    ) -> Iterator[bytes]:
        """What comes, from byte `at`; asks again for the rest as long as that brings anything."""
        first, seen, useless = at, hashlib.sha256(), 0
        skipping = 0  # bytes that come again, because the server does not know ranges
        again = hashlib.sha256()
        while True:
            cut = False
            with answer:
                while piece := _read(answer):
                    if skipping:
                        old, piece = piece[:skipping], piece[skipping:]
                        again.update(old)
                        skipping -= len(old)
                        if not skipping and again.digest() != seen.digest():
                            raise _changed(url)
                    if end is not None and at + len(piece) > end:
                        piece = piece[: end - at]
                    if piece:
                        useless = 0
                        seen.update(piece)
                        at += len(piece)
                        yield piece
                cut = piece is None
            if end is not None and at >= end and not skipping:
                return
            if end is None and not cut:
                return
            useless += 1
            if useless >= _TRIES:
                raise _cut(url, at, end)
            time.sleep(self._wait(useless))
            following = self._ask(url, at, end, {"If-Range": found.etag} if _strong(found.etag) else {})
            if following is None or _found(following) != found:
                raise _changed(url)
            answer = following
            if answer.status != 206 and first:
                raise _cut(url, at, end)
            skipping = 0 if answer.status == 206 else at
            again = hashlib.sha256()

    def _ask(self, url: str, start: int, end: int | None, headers: dict[str, str]) -> "HTTPResponse | None":
        """None: not modified."""
        from http.client import HTTPException
        from urllib.error import HTTPError, URLError

        if start or end is not None:
            headers = headers | {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        for tried in range(1, _TRIES + 1):
            try:
                opened: HTTPResponse = self._opener.open(_request(url, headers), timeout=_TIMEOUT_S)
                return opened
            except HTTPError as error:
                with error:
                    if error.code == 304:
                        return None
                    if error.code not in _AGAIN or tried == _TRIES:
                        raise _refused(url, error.code) from None
                    asked = error.headers.get("Retry-After", "")
                wait = float(asked) if asked.isdigit() else self._wait(tried)
                time.sleep(min(wait, _WAIT_MAX_S))
            except (URLError, OSError, HTTPException) as error:
                if tried == _TRIES or _is_final(error):
                    raise _unreachable(url, error) from None
                time.sleep(self._wait(tried))
        raise AssertionError("every try returns or raises")

    def _wait(self, tried: int) -> float:
        """Longer each time, and never the same for two who were refused together."""
        return min(self._pause * float(2**tried) * random.uniform(0.5, 1.0), _WAIT_MAX_S)


def _opener(environment: Mapping[str, str]) -> "OpenerDirector":
    """One that knows the web alone, and these proxies; urllib's own would read the environment."""
    import ssl
    from urllib import request

    class Redirects(request.HTTPRedirectHandler):
        max_redirections = max_repeats = _REDIRECTS

        def redirect_request(
            self, req: "Request", fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
        ) -> "Request | None":
            _check_redirect(req.full_url, newurl)
            following = super().redirect_request(req, fp, code, msg, headers, newurl)
            if following:
                same = urlsplit(req.full_url)[:2] == urlsplit(newurl)[:2]
                for name, value in req.unredirected_hdrs.items():
                    if name != "Authorization" or same:  # another host gets no password
                        following.add_unredirected_header(name, value)
            return following

    class Proxies(request.ProxyHandler):
        def proxy_open(self, req: "Request", proxy: str, type: str) -> Any:
            host = (req.host or "").rpartition("@")[2].partition(":")[0]
            if any(name == "*" or host == name or host.endswith(f".{name}") for name in without):
                return None
            return super().proxy_open(req, proxy, type)

    without = [n.strip().lstrip(".") for n in environment.get("no_proxy", "").split(",") if n.strip()]
    proxies = {
        scheme: environment.get(f"{scheme}_proxy") or environment.get(f"{scheme.upper()}_PROXY", "")
        for scheme in ("http", "https")
    }
    opener = request.OpenerDirector()
    for handler in (
        Proxies({scheme: proxy for scheme, proxy in proxies.items() if proxy}), Redirects(),
        request.HTTPHandler(), request.HTTPSHandler(context=ssl.create_default_context()),
        request.HTTPErrorProcessor(), request.HTTPDefaultErrorHandler(), request.UnknownHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener


def _check_redirect(old: str, new: str) -> None:
    schemes = urlsplit(old).scheme, urlsplit(new).scheme
    if schemes[1] not in ("http", "https") or schemes == ("https", "http"):
        raise Invalid(
            "unsafe_redirect",
            f"{shown(old)} sends on to {shown(new)}, which is not as safe.",
            "Ask whoever runs that server, or give the other address yourself.",
        )


def _request(url: str, headers: dict[str, str]) -> "Request":
    from urllib.request import Request

    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    request = Request(urlunsplit((parts.scheme, host, path, parts.query, "")))  # noqa: S310 - http(s) alone
    for name, value in {"User-Agent": "kamld", "Accept-Encoding": "identity", **headers}.items():
        request.add_unredirected_header(name, value)
    if at:
        credentials = b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {credentials}")
    return request


def _read(answer: "HTTPResponse") -> bytes | None:
    """b"": the end, as far as this answer knows; None: cut off."""
    from http.client import HTTPException

    try:
        return answer.read(_PIECE)
    except (OSError, HTTPException):
        return None


def _found(answer: "HTTPResponse") -> Found:
    headers = answer.headers
    total = headers.get("Content-Range", "").rpartition("/")[2]
    length = total if answer.status == 206 else headers.get("Content-Length", "")
    size = int(length) if length.isdigit() else None
    return Found(size, headers.get("ETag", ""), headers.get("Last-Modified", ""))


def _strong(etag: str) -> bool:
    return bool(etag) and not etag.startswith("W/")


def _is_final(error: Exception) -> bool:
    """Whether it would be no better the next time."""
    reason = getattr(error, "reason", error)
    return type(reason).__name__ in ("SSLCertVerificationError", "InvalidURL", "LocationParseError")


def _refused(url: str, status: int) -> KamldError:
    if status in (404, 410):
        return NotFound("unknown_address", f"There is nothing at {shown(url)}.", "Look at the address again.")
    if status in (401, 403, 407):
        return Invalid(
            "refused_by_server",
            f"{shown(url)} was refused ({status}): it wants a name and password, or others than these.",
            "Write them into the address (https://NAME:PASSWORD@…); they are not kept.",
        )
    if 300 <= status < 400:
        return SystemFault(
            "refused_by_server",
            f"{shown(url)} is sent on more than {_REDIRECTS} times, or to no address of the web.",
            "Ask whoever runs that server, or give the last address yourself.",
        )
    return SystemFault("refused_by_server", f"{shown(url)} was answered with status {status}.", "Try later.")


def _unreachable(url: str, error: Exception) -> SystemFault:
    reason = getattr(error, "reason", error)
    why = getattr(reason, "strerror", None) or type(reason).__name__
    return SystemFault(
        "unreachable", f"{shown(url)} cannot be reached: {why}.", "Look at the address and the network."
    )


def _changed(url: str) -> SystemFault:
    return SystemFault(
        "changed_meanwhile", f"{shown(url)} was changed while it was read. Nothing was changed here.",
        "Do it again.",
    )  # fmt: skip


def _cut(url: str, at: int, end: int | None) -> SystemFault:
    whole = f" of {end:,}" if end is not None else ""
    return SystemFault(
        "connection_cut", f"The connection to {shown(url)} is cut again and again; {at:,}{whole} bytes came.",
        "Do it again later: what came is not fetched twice.",
    )  # fmt: skip
