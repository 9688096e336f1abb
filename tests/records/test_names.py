"""Names and revisions: what reads back, and that nothing hostile gets through or breaks anything."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld import clock
from kamld.errors import Invalid
from kamld.records.names import (
    Name,
    Reference,
    Revision,
    check_ref,
    check_word,
    parse_name,
    parse_reference,
    parse_revision,
)

words = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,5}(\.[a-z0-9]{1,3})?", fullmatch=True)
ref_names = st.text(
    st.characters(blacklist_categories=("C", "Z"), blacklist_characters="/@:~{}"), min_size=1, max_size=12
).filter(lambda word: word not in (".", "..") and word.isprintable() and not word.startswith("-"))
times = st.integers(0, 10**17).map(
    lambda us: clock.text(datetime(1, 1, 2, tzinfo=UTC) + timedelta(microseconds=us))
)
revisions = st.builds(Revision, ref_names, st.none() | times, st.integers(0, 10_000))
paths = st.text(max_size=20)
hostile = st.text(max_size=60) | st.text("ab/@:~{}. \n\0-é1２", max_size=30)


@given(st.builds(Reference, st.builds(Name, words, words), revisions, paths))
def test_a_reference_reads_back(reference: Reference) -> None:
    assert parse_reference(str(reference), "elsewhere") == reference


@given(revisions)
def test_a_revision_reads_back(revision: Revision) -> None:
    assert parse_revision(str(revision)) == revision


@given(hostile)
def test_nothing_raises_anything_but_invalid(text: str) -> None:
    for parse in (
        lambda: parse_reference(text, "p"),
        lambda: parse_reference(f"name@{text}", "p"),
        lambda: parse_reference("name", text),
        lambda: parse_revision(text),
        lambda: parse_revision(f"main@{{{text}}}"),
        lambda: parse_name(text, "p"),
        lambda: check_word(text, "project"),
        lambda: check_ref(text, "tag"),
    ):
        with suppress(Invalid):
            parse()


@given(hostile)
def test_what_is_accepted_stays_in_its_place(text: str) -> None:
    """A name becomes part of a key, a ref's name too once it is quoted."""
    with suppress(Invalid):
        name = parse_name(text, "p")
        for part in (name.project, name.name):
            assert part.isascii()
            assert "/" not in part
            assert part not in ("", ".", "..")


@given(hostile)
def test_messages_can_be_printed(text: str) -> None:
    for parse in (parse_revision, lambda t: parse_name(t, "p"), lambda t: check_ref(t, "tag")):
        try:
            parse(text)
        except Invalid as error:
            shown = error.message.encode()
            assert b"\n" not in shown
            assert b"\0" not in shown


@pytest.mark.parametrize(
    ("text", "project", "name", "revision", "path"),
    [
        ("flowers", "p", "flowers", Revision(), ""),
        ("vision/flowers", "vision", "flowers", Revision(), ""),
        ("flowers@main~2", "p", "flowers", Revision(steps=2), ""),
        ("flowers@main~", "p", "flowers", Revision(steps=1), ""),
        ("flowers@main~~2~", "p", "flowers", Revision(steps=4), ""),
        ("flowers@~1", "p", "flowers", Revision(steps=1), ""),
        ("flowers:a/b.csv", "p", "flowers", Revision(), "a/b.csv"),
        ("flowers:a@b:c", "p", "flowers", Revision(), "a@b:c"),
        ("flowers@v2:a:b@c~1", "p", "flowers", Revision("v2"), "a:b@c~1"),
        ("flowers@7f3a91", "p", "flowers", Revision("7f3a91"), ""),
        (
            "flowers@main@{2018-03-02T10:00Z}:x", "p", "flowers",
            Revision("main", "2018-03-02T10:00:00.000000Z"), "x",
        ),
        (
            "flowers@{2018-03-02T10:00Z}~1", "p", "flowers",
            Revision("main", "2018-03-02T10:00:00.000000Z", 1), "",
        ),
    ],
)  # fmt: skip
def test_examples(text: str, project: str, name: str, revision: Revision, path: str) -> None:
    assert parse_reference(text, "p") == Reference(Name(project, name), revision, path)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_name"), ("a/b/c", "bad_name"), ("../b", "bad_name"), ("a/..", "bad_name"),
        ("-a", "bad_name"), (".a", "bad_name"), ("a..b", "bad_name"), ("a b", "bad_name"),
        ("é", "bad_name"), ("a" * 101, "bad_name"),
        ("a@", "bad_revision"), ("a@b c", "bad_revision"), ("a@b@c", "bad_revision"),
        ("a@main~x", "bad_revision"), ("a@main~-1", "bad_revision"), ("a@main~２", "bad_revision"),
        ("a@main~" + "9" * 5000, "bad_revision"), ("a@{{2018-03-02}}", "bad_revision"),
        ("a@main@{yesterday}", "bad_time"), ("a@{}", "bad_time"),
        ("a@main{2026-03-02}", "bad_revision"), ("a@main{2026-03-02}~1", "bad_revision"),
        ("a@{0001-01-01T00:00+14:00}", "bad_time"),
    ],
)  # fmt: skip
def test_refused(text: str, code: str) -> None:
    with pytest.raises(Invalid) as invalid:
        parse_reference(text, "p")
    assert invalid.value.code == code
    assert len(invalid.value.message) < 200


@given(revisions)
def test_a_revision_is_said_so_that_it_reads_back(revision: Revision) -> None:
    assert parse_revision(revision.said) == revision


@pytest.mark.parametrize(
    ("time", "said"),
    [("2026-03-02T10:00:00.000000Z", "10:00"), ("2026-03-02T10:00:07.000000Z", "10:00:07"),
     ("2026-03-02T10:00:00.000001Z", "10:00:00.000001")],
)  # fmt: skip
def test_a_time_is_said_no_finer_than_it_is(time: str, said: str) -> None:
    here = clock.here(time).date()
    assert Revision("main", time, 2).said == f"main@{{{here}T{clock.here(time):%H}{said[2:]}}}~2"


def test_early_times_read_back() -> None:
    revision = parse_revision("main@{0900-01-01T00:00Z}")
    assert parse_revision(str(revision)) == revision


@pytest.mark.parametrize(
    "word", ["花" * 23, "a" * 101, "-x", ".", "..", ".nfs0001", "a b", "a\u202eb", "\udc80", "a/b"]
)
def test_refs_refused(word: str) -> None:
    """花 is nine characters in a key: with `-conflict-` and an id, 23 would not fit a file's name."""
    with pytest.raises(Invalid):
        check_ref(word, "branch")


@pytest.mark.parametrize("word", ["花" * 22, "a" * 100, "größer", "a.b", "100%", "'", "main-conflict-1234"])
def test_refs_accepted(word: str) -> None:
    assert check_ref(word, "branch") == word
