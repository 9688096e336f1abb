"""What takes the space, against a plain walk over all that each dataset leads to."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import MemoryBlobs
from kamld.records.history import Dataset
from kamld.records.names import Name
from kamld.store import Repository
from kamld.store.gc.usage import Usage, measure
from kamld.store.trees import Page, decode_tree
from tests.store.hubs import commit, fresh, head

FILES = st.dictionaries(st.sampled_from([b"a", b"b/1", b"b/2", b"c"]), st.binary(max_size=3), max_size=4)
HISTORIES = st.lists(st.lists(FILES, min_size=1, max_size=4), min_size=1, max_size=3)


def stored(repository: Repository) -> Counter[bytes]:
    """Bytes of each object in packs, however often it is there."""
    sizes = Counter[bytes]()
    for segment in repository.index.segments():
        columns = segment.columns
        for prefix, rest, size in zip(columns["prefix"], columns["rest"], columns["stored"], strict=True):
            sizes[int(prefix).to_bytes(8, "big") + rest.tobytes()] += int(size)
    return sizes


def needed(repository: Repository, commit_ids: list[str]) -> set[bytes]:
    found = set[bytes]()
    for commit_id in commit_ids:
        made = repository.commit(commit_id)
        tree = repository.tree(made)
        files = [row.id for row in tree.entries().rows()]
        pages = [page.id for page in decode_tree(repository.objects.read(tree.id))]
        parts = repository.objects.parts([tree.id, *pages, *files])
        found |= {bytes.fromhex(commit_id), tree.id, *pages, *files, *parts}
    return found


def histories(
    repository: Repository, told: list[list[dict[bytes, bytes]]]
) -> list[tuple[Dataset, list[str]]]:
    made = []
    for number, versions in enumerate(told):
        dataset, ids = repository.create(Name("p", f"d{number}"), "dataset"), list[str]()
        for files in versions:
            ids.append(commit(repository, dataset, files, *ids[-1:], message=f"{number}").commit_id)
        made.append((dataset, ids))
    return made


def adds_up(usage: Usage, blobs: MemoryBlobs) -> bool:
    parts = (usage.shared, usage.other, usage.lists, usage.records, usage.local)
    total = sum(used.alone for used in usage.datasets) + sum(parts)
    return total == usage.total == sum(blob.size for blob in blobs.list("")) and min(parts) >= 0


@given(HISTORIES)
def test_usage_is_what_each_leads_to(told: list[list[dict[bytes, bytes]]]) -> None:
    blobs = MemoryBlobs()
    repository, _ = fresh(blobs)
    made = histories(repository, told)
    usage, sizes = measure(repository), stored(repository)
    all_needed = {dataset.id: needed(repository, ids) for dataset, ids in made}
    times = Counter(one for ids in all_needed.values() for one in ids)
    found = {used.dataset.id: used for used in usage.datasets}
    assert set(found) == set(all_needed)
    for dataset, ids in made:
        used, mine = found[dataset.id], all_needed[dataset.id]
        files = [repository.tree(repository.commit(one)).size for one in ids]
        assert (used.newest, used.versions, used.as_files) == (files[-1], len(ids), sum(files))
        assert used.stored == sum(sizes[one] for one in mine)
        assert used.alone == sum(sizes[one] for one in mine if times[one] == 1)
        assert used.history == sum(sizes[one] for one in mine - needed(repository, ids[-1:]))
    assert usage.shared == sum(sizes[one] for one, count in times.items() if count > 1)
    assert usage.other == sum(sizes.values()) - sum(sizes[one] for one in times)
    assert adds_up(usage, blobs)


def test_large_files_and_what_is_there_twice() -> None:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    noise = random.Random(1).randbytes(3_000_000)
    first = commit(repository, dataset, {b"x": noise}).commit_id
    commit(repository, dataset, {b"x": noise[:1_500_000] + b"!" + noise[1_500_000:]}, first)
    (used,) = measure(repository).datasets
    assert (used.newest, used.as_files) == (3_000_001, 6_000_001)
    assert 3_000_000 < used.stored < 3_400_000
    assert 0 < used.history < 400_000
    assert adds_up(measure(repository), blobs)


def test_large_lists_of_files() -> None:
    """Such a page of a list is kept in pieces, as large files are."""
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    commit(repository, dataset, {b"%s/%04d" % (b"long" * 50, n): b"x" for n in range(3_000)})
    assert any(len(repository.objects.chunks(page.id)) > 1 for page in _pages(repository, dataset))
    assert measure(repository).other == 0


def _pages(repository: Repository, dataset: Dataset) -> list[Page]:
    return repository.tree(repository.commit(head(repository, dataset))).pages


def test_what_was_removed_is_nobodys() -> None:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    noise = random.Random(1).randbytes(50_000)
    other = repository.create(Name("p", "other"), "dataset")
    first = commit(repository, dataset, {b"x": b"1"}).commit_id
    commit(repository, other, {b"y": noise})
    commit(repository, dataset, {b"x": noise, b"z": noise[:20_000]}, first, branch="side")
    assert measure(repository).shared == pytest.approx(50_000, rel=0.02)
    head = repository.refs.find(dataset, "side")
    assert head is not None
    repository.refs.move(dataset, "side", "branch", None, expected=head.commit, author="a", reason="r")
    usage = measure(repository)
    assert usage.shared == 0
    assert 20_000 < usage.other < 21_000
    assert adds_up(usage, blobs)
