"""Exports into a bucket in any order, beside somebody who puts and deletes there: what is there then."""

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kamld.blobs import MemoryBlobs
from kamld.blobs.foreign import Foreign
from kamld.errors import Conflict
from kamld.exchange import export_to_bucket
from kamld.exchange.to_bucket import NOTE
from kamld.records.kinds import FILE
from kamld.store import Entries, Repository, open_hub
from kamld.store.trees.entries import Entry, entries_of
from tests.exchange.servers import s3_bucket

pytestmark = [pytest.mark.needs("moto"), pytest.mark.timeout(300)]
Files = dict[str, bytes]

numbers = count()
paths = st.sampled_from(["a", "b/c", "b/d", "é %"])
files = st.dictionaries(paths, st.sampled_from([b"", b"one", b"two", b"eno"]), max_size=4)
exports = st.tuples(st.just("export"), files, st.booleans(), st.booleans())
others = st.tuples(st.just("other"), paths, st.sampled_from([b"one", b"theirs", None]), st.none())


@pytest.fixture(scope="module")
def reach() -> Iterator[Foreign]:
    with s3_bucket("shop") as variables:
        yield Foreign(variables)


def version(repository: Repository, of: Files) -> Entries:
    with repository.writer() as writer:
        return entries_of(
            [
                Entry(p.encode(), FILE, len(d), writer.put(d))
                for p, d in sorted(of.items(), key=lambda i: i[0].encode())
            ]
        )


def there(reach: Foreign, prefix: str) -> Files:
    bucket, _ = reach.bucket("s3://shop")
    found = {
        thing.key.removeprefix(f"{prefix}/"): b"".join(bucket.stream(thing)) for thing in bucket.list(prefix)
    }
    found.pop(NOTE, None)
    return found


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(exports | others, min_size=1, max_size=6))
def test_what_is_there_after_any_exports(
    reach: Foreign, steps: list[tuple[str, object, object, object]]
) -> None:
    repository, prefix = open_hub(MemoryBlobs()), f"p{next(numbers)}"
    bucket, _ = reach.bucket("s3://shop")
    model: Files = {}
    ours: dict[str, bytes] = {}  # what an export left there, and nobody touched since
    for kind, one, two, three in steps:
        if kind == "other":
            if two is None:
                bucket.delete([f"{prefix}/{one}"])
                model.pop(str(one), None)
                ours.pop(str(one), None)
            else:
                bucket.put(f"{prefix}/{one}", two, len(two))  # type: ignore[arg-type]
                model[str(one)] = two  # type: ignore[assignment]
                if ours.get(str(one)) != two:  # the same content has the same etag: nobody could tell
                    ours.pop(str(one), None)
            continue
        wanted: Files = one  # type: ignore[assignment]
        clash = {p for p in wanted if p in model and ours.get(p) != model[p] and model[p] != wanted[p]}
        before = dict(model)
        plan = export_to_bucket(
            repository.objects, reach, f"s3://shop/{prefix}", version(repository, wanted), {}, dry_run=True
        )
        assert there(reach, prefix) == before, "a dry run changes nothing"
        assert set(plan.foreign) == clash
        assert {entry.path.decode() for entry in plan.put} == {p for p in wanted if model.get(p) != wanted[p]}
        try:
            export_to_bucket(
                repository.objects, reach, f"s3://shop/{prefix}", version(repository, wanted), {},
                overwrite=bool(two), delete=bool(three),
            )  # fmt: skip
        except Conflict:
            assert clash
            assert not two
            assert there(reach, prefix) == before, "what is refused changes nothing"
            continue
        assert not clash or two
        model |= wanted
        if three:
            model = {p: d for p, d in model.items() if p in wanted or p not in ours}
        ours = {p: d for p, d in ours.items() if p in model} | wanted
        assert there(reach, prefix) == model
