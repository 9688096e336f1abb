import pytest

from kamld import ids
from kamld.catalog.naming import Endpoint, Meaning, find_run, meaning
from kamld.errors import Invalid, KamldError, NotFound
from kamld.records.names import Name
from kamld.records.run import Run
from kamld.store.refs.revisions import Resolved
from tests.catalog.conftest import Hub


def named(hub: Hub, text: str) -> Meaning:
    with hub.catalog() as catalog:
        return meaning(hub.repository, text, project="default", owners=catalog.owners)


def refused(hub: Hub, text: str) -> KamldError:
    with pytest.raises((NotFound, Invalid)) as caught:
        named(hub, text)
    return caught.value


def test_a_bare_commit_id_is_looked_up_in_the_catalog(hub: Hub) -> None:
    commit_id = hub.commit(hub.dataset("digits"), {"a": b"1"})
    for text in (commit_id, commit_id[:12], commit_id[:6].upper()):
        found = named(hub, text)
        assert isinstance(found, Resolved)
        assert (found.dataset.name, found.commit_id) == ("digits", commit_id)


def test_a_commit_of_two_datasets_is_ambiguous(hub: Hub) -> None:
    commit_id = hub.commit(hub.dataset("digits"), {"a": b"1"})
    copy = hub.dataset("copy")
    hub.repository.land(copy, "main", commit_id, author="Bo")
    error = refused(hub, commit_id[:8])
    assert error.code == "ambiguous_name"
    assert error.hint == f"Write one of: default/copy@{commit_id[:12]}, default/digits@{commit_id[:12]}."


def test_a_name_wins_over_ids_and_endpoints(hub: Hub) -> None:
    commit_id = hub.commit(hub.dataset("digits"), {"a": b"1"})
    beside = hub.dataset(commit_id[:6])
    hub.commit(beside, {"a": b"2"})
    found = named(hub, commit_id[:6])
    assert isinstance(found, Resolved)
    assert found.dataset == beside
    hub.deploy("digits", ("v1", commit_id, 100))
    assert isinstance(named(hub, "digits"), Resolved)
    assert named(hub, "endpoint:digits") == Endpoint(Name("default", "digits"))


def test_a_word_that_is_only_an_endpoint_is_one(hub: Hub) -> None:
    hub.deploy("leaves", ("v1", "0" * 64, 100))
    assert named(hub, "leaves") == named(hub, "default/leaves") == Endpoint(Name("default", "leaves"))


def test_a_number_that_is_a_name_too_is_ambiguous(hub: Hub) -> None:
    run = hub.run()
    assert named(hub, "1") == run
    hub.commit(hub.dataset("1"), {"a": b"1"})
    error = refused(hub, "1")
    assert (error.code, error.hint) == ("ambiguous_name", "Write one of: default/1, run:1.")
    assert named(hub, "run:1") == run
    assert isinstance(named(hub, "dataset:1"), Resolved)
    assert isinstance(named(hub, "default/1"), Resolved)


def test_predictions_and_names_of_26_letters(hub: Hub) -> None:
    event = hub.deploy("digits", ("v1", "0" * 64, 100))
    prediction = ids.new_prediction_id(event.key, 0)
    assert named(hub, str(prediction)) == named(hub, str(prediction).upper()) == prediction
    hub.commit(hub.dataset(str(prediction)), {"a": b"1"})
    assert refused(hub, str(prediction)).code == "ambiguous_name"


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("digts", "unknown_name", 'Did you mean "digits"?'),
        ("digts@main", "unknown_name", 'Did you mean "digits"?'),
        ("leavs", "unknown_name", 'Did you mean "endpoint:leaves"?'),
        ("elsewhere", "unknown_name", "Name a dataset, model or endpoint"),
        ("digits@mian", "unknown_revision", 'Did you mean "main"?'),
        ("digits:a", "path_in_name", "Leave out :a"),
        ("model:digits", "other_kind", "Write only its name."),
        ("endpoint:leavs", "unknown_endpoint", 'Did you mean "default/leaves"?'),
        ("run:99", "unknown_run", "kamld runs shows all"),
        ("run:../../x/1", "bad_name", "Use letters"),
        ("run:/1", "bad_name", "Use letters"),
        ("deployment:leaves", "unknown_name", "Name a dataset"),
        ("99", "unknown_name", "Name a dataset"),
        ("prediction:x", "bad_prediction_id", "26 letters"),
        ("0k3fz…91ac20", "shortened_id", "Write it in full"),
        ("a/b/c", "bad_name", "PROJECT/NAME"),
        ("", "bad_name", "Use letters"),
        ("dead" * 16, "unknown_name", "Name a dataset"),
    ],
)
def test_what_cannot_be_found_says_what_may_be(hub: Hub, text: str, code: str, hint: str) -> None:
    commit_id = hub.commit(hub.dataset("digits"), {"a": b"1"})
    hub.deploy("leaves", ("v1", commit_id, 100))
    error = refused(hub, text)
    assert error.code == code
    assert hint in error.hint


def test_runs_by_number_id_and_beginning(hub: Hub) -> None:
    first = hub.run(run_id="01234567" + "a" * 24)
    second = hub.run(run_id="01234567" + "b" * 24, project="vision")

    def found(text: str) -> Run:
        return find_run(hub.repository, text, project="default")

    assert found("1") == found(first.id) == found("01234567a") == first
    assert found("vision/1") == found(second.id[:9]) == named(hub, second.id[:9]) == second
    with pytest.raises(Invalid, match="beginning of 2 runs"):
        found("01234567")
    for text in ("2", "vision/2", "vision/x", "c" * 32, "cccc", "nothing", ""):
        with pytest.raises(NotFound):
            found(text)
