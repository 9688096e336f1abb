"""Splits of files in a hub: parts that know their rule, growth, repetition, faults, conditions."""

from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest

from kamld.blobs import MemoryBlobs
from kamld.errors import Conflict, Invalid, KamldError, NotFound, SystemFault
from kamld.records.history import SplitPart
from kamld.records.names import Name, Reference
from kamld.splits.parts import recorded_rule
from kamld.store import Repository, open_hub
from tests.splits.hubs import Files, contents, cut, deliver, rule
from tests.store.faults import FaultyBlobs, Killed
from tests.store.faults import Plan as FaultPlan


@pytest.fixture
def repository() -> Repository:
    return open_hub(MemoryBlobs(), 1)


def pictures(*numbers: int) -> dict[str, bytes]:
    return {f"{n % 2}/{n:03}.png": b"content %d" % n for n in numbers}


def labelled(count: int) -> Files:
    """Pictures with a table that has a label and a patient for each."""
    rows = [f"{path},{'ab'[n % 2]},p{n // 3}" for n, path in enumerate(pictures(*range(count)))]
    return pictures(*range(count)) | {"about/labels.csv": "\n".join(["file,label,patient", *rows]).encode()}


def test_parts_are_datasets_that_know_their_rule(repository: Repository) -> None:
    source = deliver(repository, pictures(*range(100)))
    result = cut(repository, source, rule(by="folder"))
    test = repository.resolve(Reference(Name("default", "d-test"))).commit
    assert test.origin
    assert test.origin.commit == source.commit_id
    assert test.split
    assert (test.split.part, test.split.seed, test.split.by) == ("test", 7, "folder")
    assert [(part.name, part.share) for part in test.split.parts] == [("test", 0.3), ("train", 0.7)]
    assert [len(bounds) for bounds in test.split.thresholds.values()] == [1, 1]
    assert {part.part: part.examples for part in result.parts} == {"train": 70, "test": 30}
    assert test.message == "30 % of d, seed 7, by folder"


def test_repeating_it_changes_nothing_and_growth_keeps_sides(repository: Repository) -> None:
    cut(repository, deliver(repository, pictures(*range(60))), rule())
    before = {name: set(contents(repository, name)) for name in ("d-train", "d-test")}
    source = repository.resolve(Reference(Name("default", "d")))
    again = cut(repository, source, rule())
    assert [part.committed for part in again.parts] == [None, None]
    assert again.bytes_added == 0
    corrected = pictures(*range(90)) | {"0/000.png": b"corrected"}
    cut(repository, deliver(repository, corrected), rule())
    after = {name: set(contents(repository, name)) for name in ("d-train", "d-test")}
    assert all(before[name] <= after[name] for name in before)
    assert sum(map(len, after.values())) == 90


def test_a_file_that_moved_keeps_its_side(repository: Repository) -> None:
    cut(repository, deliver(repository, pictures(*range(40))), rule())
    before = set(contents(repository, "d-test").values())
    moved = {f"elsewhere/{path}": data for path, data in pictures(*range(40)).items()}
    cut(repository, deliver(repository, moved), rule())
    assert set(contents(repository, "d-test").values()) == before


def test_several_parts(repository: Repository) -> None:
    parts = tuple(SplitPart(name=n, share=s) for n, s in (("train", 0.7), ("val", 0.15), ("test", 0.15)))
    asked = msgspec.structs.replace(rule(), parts=parts)
    result = cut(repository, deliver(repository, pictures(*range(100))), asked)
    assert {part.part: part.examples for part in result.parts} == {"train": 70, "val": 15, "test": 15}
    again = msgspec.structs.replace(asked, parts=parts[::-1])  # said in another order
    source = repository.resolve(Reference(Name("default", "d")))
    assert not any(part.committed for part in cut(repository, source, again).parts)


def test_tables_and_documents_are_whole_in_every_part(repository: Repository) -> None:
    more = {"README.md": b"x", "a.csv": b"a\n1\n", "deep/b.parquet": b"x"}
    result = cut(repository, deliver(repository, pictures(1, 2) | more), rule(0.5))
    assert result.shared == (b"README.md", b"a.csv", b"deep/b.parquet")
    for name in ("d-train", "d-test"):
        assert contents(repository, name).items() >= more.items()


def test_by_a_label_and_patients_together(repository: Repository) -> None:
    files = labelled(120)
    asked = rule(0.25, by="about/labels.csv:label", group="about/labels.csv:patient")
    result = cut(repository, deliver(repository, files), asked)
    order = list(pictures(*range(120)))
    patients = {
        name: {order.index(path) // 3 for path in contents(repository, name) if path.endswith("png")}
        for name in ("d-train", "d-test")
    }
    assert not patients["d-train"] & patients["d-test"]
    assert {part.part: part.examples for part in result.parts} == {"train": 90, "test": 30}
    assert result.leaked_groups == ()
    assert result.strata == 2


def test_a_label_that_only_a_file_name_joins(repository: Repository) -> None:
    """The column is found by its values, whatever it is called and however it names the files."""
    for value in ("{0}", "./{0}", "{1}", "{2}"):
        files = {f"x/{n}.png": b"%d" % n for n in range(40)}
        rows = [f"{n % 2},{value.format(f'x/{n}.png', f'{n}.png', n)},{'ab'[n // 30]}" for n in range(40)]
        table = "\n".join(["odd,which,label", *rows]).encode()
        made = cut(
            repository,
            deliver(repository, files | {"l.csv": table}),
            rule(0.5, by="l.csv:label"),
            value[:3].strip("./{}") + "q",
        )
        kept = repository.commit(made.parts[0].commit_id).split
        assert kept
        assert set(kept.thresholds) == {"a", "b"}


def test_files_without_a_row_are_a_stratum_of_their_own(repository: Repository) -> None:
    files = dict(labelled(20)) | {"2/new.png": b"new"}
    made = cut(repository, deliver(repository, files), rule(0.5, by="about/labels.csv:label"))
    kept = repository.commit(made.parts[0].commit_id).split
    assert kept
    assert set(kept.thresholds) == {"a", "b", ""}
    assert made.short == ("",)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"by": "about/labels.csv:lable"}, "unknown_column"),
        ({"by": "labels.csv:label"}, "no_table"),
        ({"by": "0/000.png:label"}, "bad_table"),
        ({"by": "label"}, "bad_column"),
        ({"by": "about/labels.csv:label", "file_column": "label"}, "no_file_column"),
        ({"where": "size >"}, "bad_sql"),
        ({"where": "size > 10000000"}, "nothing_to_split"),
    ],
)
def test_what_cannot_be_asked(repository: Repository, more: dict[str, Any], code: str) -> None:
    source = deliver(repository, labelled(10))
    with pytest.raises(KamldError) as caught:
        cut(repository, source, rule(**more))
    assert caught.value.code == code
    assert isinstance(caught.value, Invalid | NotFound)
    assert repository.names.find(Name("default", "d-train")) is None


def test_a_column_of_ids_is_no_stratum(repository: Repository) -> None:
    files = {f"{n}.png": b"%d" % n for n in range(3000)}
    rows = [f"{n}.png,{'x' * 300}{n}" for n in range(3000)]
    source = deliver(repository, files | {"l.csv": "\n".join(["file,id", *rows]).encode()})
    with pytest.raises(Invalid) as caught:
        cut(repository, source, rule(by="l.csv:id"))
    assert caught.value.code == "too_many_strata"


def test_tables_alone(repository: Repository) -> None:
    with pytest.raises(Invalid, match="--rows") as caught:
        cut(repository, deliver(repository, {"a.csv": b"a\n1\n", "b.csv": b"a\n1\n"}), rule())
    assert caught.value.code == "nothing_to_split"


@pytest.mark.parametrize("more", [{"test": 0.2}, {"seed": 8}, {"by": "folder"}, {"where": "size > 0"}])
def test_another_rule_under_the_same_names_is_refused(repository: Repository, more: dict[str, Any]) -> None:
    source = deliver(repository, pictures(*range(10)))
    cut(repository, source, rule())
    with pytest.raises(Conflict, match=r"--test 0\.3 --seed 7") as caught:
        cut(repository, source, rule(**more))
    assert caught.value.code == "other_rule"


def test_a_dataset_of_that_name_is_left_alone(repository: Repository) -> None:
    source = deliver(repository, pictures(*range(10)))
    theirs = deliver(repository, pictures(1), "d-test")
    with pytest.raises(Conflict) as caught:
        cut(repository, source, rule())
    assert caught.value.code == "name_taken"
    assert repository.resolve(Reference(Name("default", "d-test"))).commit_id == theirs.commit_id
    assert repository.names.find(Name("default", "d-train")) is None


def test_content_on_both_sides_is_counted(repository: Repository) -> None:
    """A file keeps its side by its path, also when it becomes equal to one of the other side."""
    files = pictures(*range(20))
    assert cut(repository, deliver(repository, files), rule()).leaked == 0
    train, test = contents(repository, "d-train"), contents(repository, "d-test")
    files[min(train)] = test[min(test)]
    assert cut(repository, deliver(repository, files), rule()).leaked == 2
    assert set(contents(repository, "d-train")) == set(train)


def test_its_rule_can_be_had_back(repository: Repository) -> None:
    source = deliver(repository, pictures(*range(10)))
    names = [Name("default", "d-train"), Name("default", "other")]
    assert recorded_rule(repository, source.dataset, names) is None
    cut(repository, source, rule(by="folder"))
    assert recorded_rule(repository, source.dataset, names) == rule(by="folder")


@pytest.mark.parametrize("kind", ["refuse", "late", "kill", "kill late"])
def test_a_split_that_was_stopped_can_be_repeated(kind: str) -> None:
    """At every write there is: the next split finishes it, and nobody has changed sides."""
    asked = rule(by="folder")
    for at in range(1, 100):
        blobs = MemoryBlobs()
        repository = open_hub(blobs, 1)
        source = deliver(repository, pictures(*range(20)))
        faults = FaultPlan(at, kind)
        with suppress(SystemFault, Killed):
            cut(open_hub(FaultyBlobs(blobs, faults), 1), source, asked)
        done = cut(open_hub(blobs, 1), source, asked)
        assert {part.part: part.examples for part in done.parts} == {"test": 6, "train": 14}, faults.writes
        for part in done.parts:
            name = Name("default", f"d-{part.part}")
            assert repository.resolve(Reference(name)).commit_id == part.commit_id, faults.writes
        if len(faults.writes) < at:
            return
    pytest.fail("it never ended")


def test_a_rule_of_a_later_version(repository: Repository) -> None:
    source = deliver(repository, pictures(*range(10)))
    cut(repository, source, rule())
    made = repository.resolve(Reference(Name("default", "d-test")))
    assert made.commit.split
    later = msgspec.structs.replace(made.commit.split, by="moonlight")
    same = repository.tree(made.commit).entries()
    with repository.writer() as writer:
        version = repository.write_version(
            writer, same, parents=(made.commit_id,), author="a", message="m",
            origin=made.commit.origin, split=later,
        )  # fmt: skip
    repository.land_version(made.dataset, "main", version, author="a")
    with pytest.raises(SystemFault) as fault:
        cut(repository, source, rule())
    assert fault.value.code == "newer_record"


def test_no_content_is_added(repository: Repository) -> None:
    rng = np.random.default_rng(0)
    source = deliver(repository, {f"{n:02}.bin": rng.bytes(5000) for n in range(50)})
    assert cut(repository, source, rule()).bytes_added < 5000  # all of them are in the parts


# Views


def test_a_view_by_what_files_are(repository: Repository) -> None:
    source = deliver(repository, pictures(*range(20)) | {"README.md": b"x"})
    made = cut(repository, source, rule(None, where="folder = '1' AND name < '010'"), "odd")
    assert set(contents(repository, "odd")) == {f"1/{n:03}.png" for n in range(1, 10, 2)} | {"README.md"}
    assert (made.of, [part.examples for part in made.parts]) == (20, [5])
    commit = repository.resolve(Reference(Name("default", "odd"))).commit
    assert commit.split
    assert commit.split.where == "folder = '1' AND name < '010'"
    assert commit.message == "d where folder = '1' AND name < '010'"


def test_a_view_is_renewed_when_its_source_has_grown(repository: Repository) -> None:
    asked = rule(None, where="size >= 10")
    cut(repository, deliver(repository, pictures(1, 20)), asked, "v")
    assert set(contents(repository, "v")) == {"0/020.png"}
    cut(repository, deliver(repository, pictures(1, 20, 31)), asked, "v")
    assert set(contents(repository, "v")) == {"0/020.png", "1/031.png"}
    assert len(list(repository.log(repository.resolve(Reference(Name("default", "v"))).commit_id))) == 2


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("label = 'a' AND patient = 'p1'", {"0/004.png"}),
        ("label IS NULL", {"2/new.png"}),
        ("file_size = 3 AND size = 7", {"2/new.png"}),
        ("extension = 'png' AND kind = 'file' AND patient IN ('p0') AND label = 'b'", {"1/001.png"}),
    ],
)
def test_a_view_by_what_a_table_says(repository: Repository, where: str, found: set[str]) -> None:
    rows = [f"{n % 2}/{n:03}.png,{'ab'[n % 2]},p{n // 3}" for n in range(9)]
    files = pictures(*range(9)) | {
        "2/new.png": b"new",
        "labels.csv": "\n".join(["file,label,patient", *rows]).encode(),
    }
    if "file_size" in where:
        files["labels.csv"] = b"file,size\n2/new.png,7\n0/000.png,8\n"
    cut(repository, deliver(repository, files), rule(None, where=where, table="labels.csv"), "v")
    assert set(contents(repository, "v")) - {"labels.csv"} == found


def test_a_split_of_some(repository: Repository) -> None:
    result = cut(repository, deliver(repository, pictures(*range(40))), rule(0.5, where="folder = '0'"))
    assert [part.examples for part in result.parts] == [10, 10]
    assert all(path.startswith("0/") for path in contents(repository, "d-train"))
