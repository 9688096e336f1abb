"""`kamld export` into a bucket of a real S3 server, looked at with boto3."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kamld.blobs.bucket import Bucket
from kamld.errors import SystemFault
from kamld.exchange import to_bucket
from tests.cli.conftest import Kamld, process
from tests.cli.vocabulary import wrong
from tests.exchange.servers import PEERS, s3_server

pytestmark = [pytest.mark.needs("moto"), pytest.mark.timeout(120)]
SEE = (
    "import json; r = s3.list_objects_v2(Bucket='shop').get('Contents', []);"
    "print(json.dumps({o['Key']: [o['Size'], o['LastModified'].timestamp(), o['ETag']] for o in r}))"
)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Runs a line of Python with a boto3 client `s3`; there is a bucket named `shop`."""
    for name, value in {"ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "hidden", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with s3_server() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        head = f"import boto3; s3 = boto3.client('s3', endpoint_url='{address}', region_name='us-east-1'); "

        def told(line: str) -> str:
            command = [PEERS / "s3/bin/python", "-c", head + line]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout

        told("s3.create_bucket(Bucket='shop')")
        yield told


def seen(shop: Callable[[str], str]) -> dict[str, list[Any]]:
    """Size, time and etag by key, without our note."""
    found: dict[str, list[Any]] = json.loads(shop(SEE))
    return {key: value for key, value in found.items() if "/.kamld/" not in f"/{key}"}


@pytest.fixture
def flowers(here: Path, kamld: Kamld) -> Path:
    top = here / "flowers"
    (top / "roses").mkdir(parents=True)
    for n in range(40):
        (top / f"roses/{n} ü%20#.txt").write_text(f"rose {n}")
    (top / "large").write_bytes(os.urandom(1000) * 40_000)  # 40 MB: three parts
    (top / "empty").write_bytes(b"")
    kamld("commit flowers -m first")
    return top


def test_all_of_it_comes_back(kamld: Kamld, flowers: Path, shop: Callable[[str], str], here: Path) -> None:
    said = kamld("export flowers s3://shop/f/now --dry-run")
    assert "42 files would be put" in said.out
    assert seen(shop) == {}
    said = kamld("export flowers s3://shop/f/now")
    assert "42 files put, 40 MB; 0 there already" in said.out
    there = seen(shop)
    assert set(there) == {f"f/now/{path.relative_to(flowers)}" for path in flowers.rglob("*")
                          if path.is_file() and ".kamld" not in path.parts}  # fmt: skip
    assert there["f/now/large"][2].endswith('-3"'), "it went in parts"
    assert shop("print(s3.list_multipart_uploads(Bucket='shop').get('Uploads'))").strip() == "None"
    kamld("import s3://shop/f/now back")
    kamld("export back out")
    subprocess.run(["diff", "-r", "-x", ".kamld", here / "out", flowers], check=True)


def test_only_what_differs_is_put(kamld: Kamld, flowers: Path, shop: Callable[[str], str]) -> None:
    kamld("export flowers s3://shop/f")
    before = seen(shop)
    again = kamld("export flowers s3://shop/f --json").json
    assert (again["put"], again["same"]) == (0, 42)
    assert list(wrong(again, {again["commit"]})) == []
    assert seen(shop) == before
    (flowers / "empty").write_text("no more")
    (flowers / "large").unlink()
    kamld("commit flowers -m second")
    said = kamld("export flowers s3://shop/f").out
    assert "1 file put, 7 B; 40 there already" in said
    assert "1 file of earlier exports still there; --delete removes them." in said
    after = seen(shop)
    assert {key for key in after if after[key] != before.get(key)} == {"f/empty"}
    assert "would be removed" in kamld("export flowers s3://shop/f --delete --dry-run").out
    assert "f/large" in seen(shop)
    assert kamld("export flowers s3://shop/f --delete --json").json["deleted"] == 1
    assert set(seen(shop)) == set(after) - {"f/large"}
    assert kamld("export flowers s3://shop/f --delete --json").json["deleted"] == 0
    kamld("export flowers@main~1 s3://shop/f")
    assert set(seen(shop)) == set(before)


def test_what_is_not_ours_is_never_replaced_unasked(
    kamld: Kamld, flowers: Path, shop: Callable[[str], str]
) -> None:
    shop("s3.put_object(Bucket='shop', Key='f/empty', Body=b'theirs')")
    shop("s3.put_object(Bucket='shop', Key='f/other', Body=b'theirs')")
    said = kamld("export flowers s3://shop/f", status=1).err
    assert "target_exists" in said
    assert "empty" in said
    assert set(seen(shop)) == {"f/empty", "f/other"}
    assert "replaces another's" in kamld("export flowers s3://shop/f --dry-run").out
    kamld("export flowers s3://shop/f --overwrite --delete")
    assert seen(shop)["f/empty"][0] == 0
    assert "f/other" in seen(shop), "only what an export put is ever removed"
    shop("s3.put_object(Bucket='shop', Key='f/roses/0 ü%20#.txt', Body=b'thorn!')")
    assert "target_exists" in kamld("export flowers s3://shop/f", status=1).err


def test_what_was_there_and_is_equal_is_not_put(kamld: Kamld, shop: Callable[[str], str], here: Path) -> None:
    shop("[s3.put_object(Bucket='shop', Key=f'f/{n}', Body=b'x' * n) for n in range(5)]")
    kamld("import s3://shop/f photos")
    kamld("checkout photos")
    (here / "photos/3").write_text("changed")
    kamld("commit photos -m changed")
    said = kamld("export photos s3://shop/f --overwrite --json").json
    assert (said["put"], said["same"]) == (1, 4)


def test_an_interrupted_export_goes_on(
    kamld: Kamld, flowers: Path, shop: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put, calls = Bucket.put, 0

    def failing(self: Bucket, key: str, *more: Any) -> str:
        nonlocal calls
        calls += 1
        if calls > 25 and to_bucket.NOTE not in key:
            raise SystemFault("unreachable", "The network is gone.", "")
        return put(self, key, *more)

    with monkeypatch.context() as patched:
        patched.setattr(Bucket, "put", failing)
        assert "unreachable" in kamld("export flowers s3://shop/f", status=3).err
    there = seen(shop)
    assert 0 < len(there) < 42
    again = kamld("export flowers s3://shop/f --json").json
    assert again["same"] >= len(there) - 16, "what was put is not put again"
    assert again["put"] + again["same"] == 42
    after = seen(shop)
    assert sum(after[key] == there[key] for key in there) == again["same"]


def test_a_killed_export_goes_on(kamld: Kamld, flowers: Path, shop: Callable[[str], str]) -> None:
    with process("export flowers s3://shop/f") as killed:
        for _ in range(600):
            if len(seen(shop)) > 5 or killed.poll() is not None:
                break
        killed.kill()
    assert killed.returncode in (0, -9)
    assert kamld("export flowers s3://shop/f --json").json["left_there"] == []
    assert len(seen(shop)) == 42


def test_what_changes_meanwhile_is_told(
    kamld: Kamld, flowers: Path, shop: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Bucket.put

    def meddled(self: Bucket, key: str, *more: Any) -> str:
        etag = put(self, key, *more)
        if key == "f/empty":
            put(self, key, b"theirs", 6)
        return etag

    monkeypatch.setattr(Bucket, "put", meddled)
    said = kamld("export flowers s3://shop/f", status=3).err
    assert "changed_meanwhile" in said
    assert "f/empty" in said


def test_what_a_bucket_cannot_hold_is_named(kamld: Kamld, shop: Callable[[str], str], here: Path) -> None:
    odd = here / "odd"
    (odd / "void").mkdir(parents=True)
    (odd / "good").write_text("x")
    kamld("commit odd -m odd")
    assert "Empty folders (1) are not kept" in kamld("export odd s3://shop/x").err
    for make in (lambda: (odd / "link").symlink_to("good"), (odd / "bell\a").touch,
                 lambda: Path(os.fsdecode(os.fsencode(odd) + b"/\xff")).touch()):  # fmt: skip
        before = set(os.listdir(odd))
        make()
        kamld("commit odd -m more")
        said = kamld("export odd s3://shop/y", status=1).err
        assert "name_not_kept" in said
        for name in set(os.listdir(odd)) - before:
            (odd / name).unlink()
    assert not [key for key in seen(shop) if key.startswith("y/")]
    assert "unknown_path" in kamld("export odd:nothing s3://shop/y", status=1).err
    assert "usage" in kamld("export odd ftp://x/y", status=2).err
    assert "usage" in kamld("export odd out --delete", status=2).err
    said = kamld("export odd s3://no-such-bucket/y", status=1)
    assert "There is no bucket" in said.err
    assert "hidden" not in said.err
