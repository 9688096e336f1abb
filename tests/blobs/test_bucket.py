"""Somebody's bucket, on a real S3 server."""

from collections.abc import Iterator

import pytest

from kamld.blobs.bucket import BLOCK, PART, Bucket
from kamld.blobs.foreign import Foreign
from kamld.errors import Invalid, NotFound, SystemFault
from tests.exchange.servers import s3_bucket

pytestmark = [pytest.mark.needs("moto"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """Of a server with a bucket named `shop`."""
    with s3_bucket("shop") as variables:
        yield variables


@pytest.fixture
def bucket(environment: dict[str, str]) -> Iterator[Bucket]:
    made = Bucket("s3://shop", environment)
    yield made
    keys = [thing.key for thing in made.list("")]
    if keys:
        made.delete(keys)


def test_what_is_put_is_found_listed_and_read(bucket: Bucket, environment: dict[str, str]) -> None:
    names = ["a", "b/ü %20#?.txt", "b/c/d", "b-other"]
    etags = {name: bucket.put(name, name.encode(), len(name)) for name in names}
    assert [thing.key for thing in bucket.list("")] == sorted(names)
    assert {thing.key: thing.etag for thing in bucket.list("b")} == {
        n: etags[n] for n in names if n[:2] == "b/"
    }
    for name in names:
        thing = bucket.find(name)
        assert thing
        assert (thing.size, thing.etag) == (len(name.encode()), etags[name])
        assert b"".join(bucket.stream(thing)) == name.encode()
    assert bucket.find("b") is None
    with pytest.raises(NotFound):
        bucket.read("none", 0, 1)
    assert bucket.read("a", 1, 1) == b""
    reach = Foreign(environment)
    assert reach.read("s3://shop/b/c/d", 2, 99) == b"c/d"
    assert reach.find("s3://shop/none") is None


def test_large_ones_in_parts_and_in_blocks(bucket: Bucket) -> None:
    pieces = [bytes([n]) * (PART // 2) for n in range(5)]
    etag = bucket.put("large", iter(pieces), sum(map(len, pieces)))
    assert etag.endswith('-3"')
    thing = bucket.find("large")
    assert thing
    blocks = list(bucket.stream(thing))
    assert [len(block) for block in blocks] == [BLOCK] * 5
    assert b"".join(blocks) == b"".join(pieces)


def test_what_changed_between_two_blocks_is_told(bucket: Bucket) -> None:
    bucket.put("f", b"x" * (BLOCK + 1), BLOCK + 1)
    thing = bucket.find("f")
    assert thing
    stream = bucket.stream(thing)
    next(stream)
    bucket.put("f", b"y" * (BLOCK + 1), BLOCK + 1)
    with pytest.raises(SystemFault) as told:
        next(stream)
    assert told.value.code == "changed_meanwhile"


def test_a_put_that_fails_leaves_nothing(bucket: Bucket) -> None:
    def pieces() -> Iterator[bytes]:
        yield bytes(PART + 1)
        raise SystemFault("io_error", "The disk is gone.", "")

    with pytest.raises(SystemFault, match="disk is gone"):
        bucket.put("f", pieces(), PART * 3)
    assert bucket.find("f") is None


def test_refusals_have_no_secrets(environment: dict[str, str]) -> None:
    with pytest.raises(Invalid, match="names no bucket"):
        Bucket("s3://", environment)
    with pytest.raises(NotFound, match="There is no bucket"):
        Bucket("s3://nothing-here", environment).put("x", b"", 0)
    away = environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_SECRET_ACCESS_KEY": "s3cr3t"}
    with pytest.raises(SystemFault) as told:
        Bucket("s3://shop", away).find("x")
    assert told.value.code == "unreachable"
    assert "s3cr3t" not in str(told.value)
