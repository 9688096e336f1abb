"""Reading from web servers that cut, lie, change and send elsewhere: what comes is right, or an error is."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kamld.blobs.foreign import Foreign
from kamld.blobs.web import Found, Web, shown
from kamld.errors import Invalid, KamldError, NotFound, SystemFault
from tests.exchange.servers import Web as Server
from tests.exchange.servers import web_server


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with web_server() as made:
        yield made


@pytest.fixture
def server(running: Server) -> Server:
    address = running.address
    running.__init__()  # type: ignore[misc]
    running.address = address
    return running


@pytest.fixture(scope="module")
def web() -> Web:
    return Web({}, pause=0.0005)


def whole(web: Web, url: str, start: int = 0, end: int | None = None) -> bytes:
    opened = web.open(url, start, end)
    assert opened
    return b"".join(opened.pieces)[start - opened.start :]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(min_size=1, max_size=2000), cuts=st.lists(st.integers(1, 500), max_size=12),
    ranges=st.booleans(), length=st.booleans(), etags=st.booleans(), failures=st.integers(0, 3),
)  # fmt: skip
def test_what_comes_through_cuts_is_the_file(
    server: Server,
    web: Web,
    data: bytes,
    cuts: list[int],
    ranges: bool,
    length: bool,
    etags: bool,
    failures: int,
) -> None:
    """With no length told, an early end cannot be known: the server's Python says nothing else."""
    server.files["/f"] = data
    server.cuts, server.ranges, server.failures = list(cuts), ranges, failures
    server.length, server.etags, server.then = length or bool(cuts), etags, []
    try:
        assert whole(web, f"{server.address}/f") == data
    except SystemFault as error:
        assert error.code == "connection_cut"  # noqa: PT017 - one of two good ends
        assert not ranges or len(cuts) > 4, "it gave up though more came each time"
        assert sum(cuts) < len(data) or not ranges


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    versions=st.lists(st.binary(min_size=200, max_size=200), min_size=2, max_size=4, unique=True),
    cuts=st.lists(st.integers(1, 150), min_size=1, max_size=6), ranges=st.booleans(),
)  # fmt: skip
def test_a_file_that_changes_meanwhile_is_never_mixed(
    server: Server, web: Web, versions: list[bytes], cuts: list[int], ranges: bool
) -> None:
    server.files["/f"], server.then = versions[0], list(versions[1:])
    server.cuts, server.ranges = list(cuts), ranges
    try:
        assert whole(web, f"{server.address}/f") in versions
    except SystemFault as error:
        assert error.code in ("changed_meanwhile", "connection_cut")  # noqa: PT017


def test_what_begins_again_is_compared_with_what_came(server: Server, web: Web) -> None:
    """Without etags and ranges, only the bytes themselves show that it is another file."""
    server.etags = server.ranges = False
    server.files["/f"], server.then, server.cuts = b"a" * 300, [b"b" * 300], [100]
    with pytest.raises(SystemFault) as told:
        whole(web, f"{server.address}/f")
    assert told.value.code == "changed_meanwhile"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_server_that_lies_about_the_length(server: Server, web: Web, ranges: bool) -> None:
    server.files["/f"], server.ranges = b"x" * 500, ranges
    server.lie = 100
    with pytest.raises(KamldError):
        whole(web, f"{server.address}/f")
    server.lie = -100
    assert len(whole(web, f"{server.address}/f")) in (400, 500), "no more than it says"


def test_parts(server: Server, web: Web) -> None:
    server.files["/f"] = bytes(range(200))
    for ranges in (True, False):
        server.ranges = ranges
        for start, end in ((0, 1), (10, 20), (199, 200), (0, 200), (150, 900)):
            opened = web.open(f"{server.address}/f", start, end)
            assert opened
            assert b"".join(opened.pieces)[start - opened.start :] == bytes(range(200))[start:end]
            assert opened.found.size == 200
    reach = Foreign({})
    assert reach.read(f"{server.address}/f", 10, 2000) == bytes(range(200))[10:]
    assert reach.find(f"{server.address}/none") is None
    found = reach.find(f"{server.address}/f")
    assert found
    assert found.size == 200
    assert web.open(f"{server.address}/f", known=found.etag) is None


def test_refusals_say_what_to_do(server: Server, web: Web) -> None:
    with pytest.raises(NotFound, match="There is nothing at"):
        web.open(f"{server.address}/none")
    server.failures = 100
    with pytest.raises(SystemFault, match="status 503"):
        web.open(f"{server.address}/f")
    assert len(server.asked) <= 7
    with pytest.raises(SystemFault) as told:
        web.open("http://127.0.0.1:1/x")
    assert told.value.code == "unreachable"
    server.failures, server.redirects = 0, {f"/{n}": f"/{n + 1}" for n in range(20)}
    with pytest.raises(SystemFault, match="more than 5 times"):
        web.open(f"{server.address}/0")
    server.redirects = {"/to": "ftp://example.org/x"}
    with pytest.raises((SystemFault, Invalid)):
        web.open(f"{server.address}/to")


def test_the_proxy_is_the_one_that_was_named(server: Server) -> None:
    server.files["http://example.org/f"] = b"by proxy"
    through = Web({"http_proxy": server.address, "no_proxy": ".local,127.0.0.1"}, pause=0.0005)
    assert whole(through, "http://example.org/f") == b"by proxy"
    server.files["/f"] = b"direct"
    assert whole(through, f"{server.address}/f") == b"direct"


words = st.text("abcXYZ019-_.~é ", min_size=1, max_size=8)


@given(user=words, password=words, token=words, path=words)
def test_no_secret_is_ever_shown(user: str, password: str, token: str, path: str) -> None:
    from urllib.parse import quote

    secret = f"s3cr3t{quote(token)}"
    url = f"https://{quote(user)}:{secret}@example.org/{quote(path)}?x=1&token={secret}&X-Amz-Signature={secret}#{secret}"
    assert "s3cr3t" not in shown(url)
    assert shown(url) == f"https://example.org/{quote(path)}?x=1"
    plain = f"https://example.org/{quote(path)}?x=1"
    assert shown(plain) == plain


def test_found_in_a_folder(tmp_path: object) -> None:
    reach = Foreign({})
    assert reach.find(f"{tmp_path}/none") is None
    with open(f"{tmp_path}/f", "wb") as file:
        file.write(b"0123456789")
    found = reach.find(f"{tmp_path}/f")
    assert isinstance(found, Found)
    assert found.size == 10
    assert reach.read(f"{tmp_path}/f", 3, 99) == b"3456789"
    with pytest.raises(NotFound):
        reach.read(f"{tmp_path}/none", 0, 1)
