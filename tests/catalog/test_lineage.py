from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from kamld import clock, ids
from kamld.catalog.lineage import CHAIN_SHOWN, DEPTH, why
from kamld.catalog.nodes import Node
from kamld.errors import NotFound, SystemFault
from kamld.records.deployment import DeploymentEvent, Prediction
from kamld.records.history import Commit, Dataset
from kamld.records.run import Run
from tests.catalog.conftest import Hub


@dataclass
class Story:
    """Deliveries of digits, split, trained on twice, deployed."""

    hub: Hub
    digits: Dataset
    delivered: str
    corrected: str
    train: str
    test: str
    runs: list[Run]
    models: list[str]
    event: DeploymentEvent


@pytest.fixture
def story(hub: Hub) -> Story:
    digits = hub.dataset("digits")
    delivered = hub.commit(digits, {"a.png": b"a"}, "as delivered")
    corrected = hub.commit(digits, {"a.png": b"b"}, "corrected")
    train = hub.split(digits, corrected, "train")
    test = hub.split(digits, corrected, "test")
    net, runs, models = hub.dataset("digits-net", "model"), [], []
    for number, accuracy in enumerate((0.921, 0.934), 1):
        run_id = ids.new_id()
        models.append(hub.commit(net, {"model.onnx": b"%d" % number}, f"run {number}", run=run_id))
        runs.append(
            hub.run(
                run_id=run_id, inputs={"digits-train": train, "digits-test": test},
                outputs={"digits-net": models[-1]}, metrics={"accuracy": accuracy},
            )
        )  # fmt: skip
    event = hub.deploy("digits-net", ("v1", models[0], 90), ("v2", models[1], 10))
    return Story(hub, digits, delivered, corrected, train, test, runs, models, event)


def explain(hub: Hub, text: str, **more: object) -> Node:
    def no_catalog(_: str) -> list[tuple[str, Dataset]]:
        raise AssertionError("the catalog was asked")

    return why(hub.repository, text, **{"project": "default", "owners": no_catalog, **more})  # type: ignore[arg-type]


def lines(node: Node, depth: int = 0) -> list[str]:
    """The tree as text, without ids."""
    said = "  ".join([node.title, *node.about, *(["(above)"] if node.repeated else [])])
    return ["  " * depth + said, *(line for child in node.children for line in lines(child, depth + 1))]


def every(node: Node) -> list[Node]:
    return [node, *(below for child in node.children for below in every(child))]


def test_a_prediction_leads_to_the_first_delivery(story: Story) -> None:
    prediction = str(ids.new_prediction_id(story.event.key, 1))
    code = story.runs[1].code
    assert code
    made_with = f"code {code.tree[:12]}, Python 3.11.7, 2 packages"
    answer = explain(story.hub, prediction)
    assert lines(answer) == [
        "prediction  not in the prediction log; this is what its id says",
        "  deployment digits-net  v2 at 10 %",
        "    digits-net v2  accuracy 0.934",
        f"      run 2  python train.py C=0.1  {made_with}",
        "        digits-train  split 70 % of digits, seed 7",
        "          digits  corrected",
        "            digits  as delivered",
        "        digits-test  split 30 % of digits, seed 7",
        "          digits  (above)",
    ]
    first = [node for node in every(answer) if node.details.get("first")]
    assert [node.id for node in first] == [story.delivered]
    assert [node.via for node in every(answer)] == [
        "", "answered by", "serves", "produced by", "input digits-train", "split from", "parent",
        "input digits-test", "split from",
    ]  # fmt: skip


def test_a_logged_prediction_says_what_it_answered(story: Story) -> None:
    prediction = str(ids.new_prediction_id(story.event.key, 0))
    line = Prediction(
        id=prediction, time=clock.now(), endpoint="digits-net", project="default", version="v1", status=200,
        ms=3.21, answer="three 0.91",
    )  # fmt: skip
    node = explain(story.hub, f"prediction:{prediction.upper()}", log={prediction: line}.get)
    assert node.about == ("three 0.91", "3.2 ms")
    assert node.details["status"] == 200
    assert node.details["commit"] == story.models[0]
    assert not explain(story.hub, prediction).details["logged"]


def test_every_sort_of_thing_can_be_asked_about(story: Story) -> None:
    for text, title, identifier in [
        ("digits", "digits", story.corrected),
        ("digits@main~1", "digits", story.delivered),
        ("digits-net", "digits-net v2", story.models[1]),
        ("digits-net@v1", "digits-net v1", story.models[0]),
        ("default/digits-train", "digits-train", story.train),
        ("run:2", "run 2", story.runs[1].id),
        ("1", "run 1", story.runs[0].id),
        (story.runs[0].id, "run 1", story.runs[0].id),
        ("endpoint:digits-net", "deployment digits-net", story.event.key),
    ]:
        node = explain(story.hub, text)
        assert (node.title, node.id) == (title, identifier)
        assert story.delivered in {below.id for below in every(node)}


def test_a_deployment_shows_each_version_and_what_they_share_once(story: Story) -> None:
    answer = lines(explain(story.hub, "endpoint:digits-net"))
    assert answer[0] == "deployment digits-net  v1 at 90 %, v2 at 10 %"
    assert answer.count("        digits  as delivered") + answer.count("          digits  as delivered") == 1
    assert "      digits-train  (above)" in answer


def test_a_stopped_endpoint_shows_what_it_served_last(story: Story) -> None:
    story.hub.deploy("digits-net", action="stop")
    node = explain(story.hub, "endpoint:digits-net")
    assert node.about == ("stopped",)
    assert node.children[0].about == ("v1 at 90 %, v2 at 10 %",)


def test_a_run_that_was_not_sealed_is_said_so(story: Story) -> None:
    story.hub.commit(story.hub.dataset("net", "model"), {"model.onnx": b"x"}, run=ids.new_id())
    run = explain(story.hub, "net").children[0]
    assert run.details == {"sealed": False}


def test_a_long_chain_is_shortened_but_keeps_both_ends(hub: Hub) -> None:
    digits = hub.dataset("digits")
    commits = [hub.commit(digits, {"a": b"%d" % n}, f"change {n}") for n in range(CHAIN_SHOWN)]
    assert [node.id for node in every(explain(hub, "digits"))] == commits[::-1]
    commits += [hub.commit(digits, {"a": b"%d" % n}, f"change {n}") for n in range(CHAIN_SHOWN, 30)]
    chain = every(explain(hub, "digits"))
    shown = [node.id for node in chain if node.sort == "dataset"]
    assert shown == [*commits[:-7:-1], commits[1], commits[0]]
    gap = next(node for node in chain if node.sort == "shortened")
    assert (gap.title, gap.details) == (
        "22 commits between", {"count": 22, "newest": commits[23], "oldest": commits[2]}
    )  # fmt: skip


def test_chains_that_meet_are_shown_once(hub: Hub) -> None:
    digits = hub.dataset("digits")
    commits = [hub.commit(digits, {"a": b"%d" % n}, f"change {n}") for n in range(20)]
    hub.run(inputs={"digits": commits[19], "again": commits[19]})
    hub.run(inputs={"digits": commits[19], "in the gap": commits[9]})
    one, two = explain(hub, "run:1"), explain(hub, "run:2")
    assert one.children[1].repeated
    assert not one.children[1].children
    meeting = every(two.children[1])
    assert meeting[0].id == commits[9]
    assert (meeting[-1].id, meeting[-1].repeated) == (commits[1], True)


def test_training_on_and_on_does_not_go_down_for_ever(hub: Hub) -> None:
    """Each run takes the model of the run before it."""
    net, commit_id = hub.dataset("net", "model"), hub.write({"model.onnx": b"0"})
    for number in range(DEPTH):
        run_id = ids.new_id()
        run = hub.run(run_id=run_id, inputs={"net": commit_id})
        commit_id = hub.commit(net, {"model.onnx": b"%d" % number}, run=run.id)
    answer = explain(hub, "net")
    last = every(answer)[-1]
    assert last.sort == "shortened"
    assert last.about[0].startswith("kamld why ")
    text = msgspec.json.encode(answer)
    assert msgspec.json.encode(msgspec.json.decode(text, type=Node)) == text


def test_a_merge_follows_the_branch_that_it_landed_on(hub: Hub) -> None:
    digits = hub.dataset("digits")
    first = hub.commit(digits, {"a": b"1"}, "as delivered")
    mine = hub.commit(digits, {"a": b"2"}, "mine")
    theirs = hub.write({"a": b"1", "b": b"1"}, first, message="theirs")
    landed = hub.repository.land(digits, "main", theirs, author="Bo")
    chain = every(explain(hub, "digits"))
    assert [node.id for node in chain] == [landed.head, mine, first, theirs, first]
    assert [node.via for node in chain] == ["", "parent", "parent", "merged", "parent"]
    assert [node.repeated for node in chain] == [False] * 4 + [True]
    assert chain[0].details["parents"] == [mine, theirs]


def test_what_a_run_made_is_found_behind_a_merge(hub: Hub) -> None:
    net = hub.dataset("net", "model")
    first = hub.commit(net, {"a": b"1"}, "by hand")
    run = hub.run(inputs={"digits": hub.commit(hub.dataset("digits"), {"x": b"1"}, "as delivered")})
    theirs = hub.write({"a": b"1", "b": b"1"}, first, run=run.id)
    hub.commit(net, {"a": b"2"}, "mine")
    hub.repository.land(net, "main", theirs, author="Bo")
    assert run.id in {node.id for node in every(explain(hub, "net"))}


def test_many_merges_are_a_short_answer(hub: Hub) -> None:
    """Each of a side that began many commits before, so that the sides have most of them in common."""
    digits = hub.dataset("digits")
    commits = [hub.commit(digits, {"a": b"0"})]
    for number in range(1, 40):
        side = hub.write({"a": b"0", "b": b"%d" % number}, commits[max(0, number - 20)])
        commits.append(hub.write({"a": b"%d" % number}, commits[-1], side))
    hub.repository.refs.move(digits, "x", "tag", commits[-1], expected=None, author="Bo", reason="x")
    answer = every(explain(hub, "digits@x"))
    assert len(answer) < 5 * CHAIN_SHOWN
    gap = next(node for node in answer if node.sort == "shortened")
    assert gap.title == "32 commits between, 32 of them merges"
    assert gap.details["merges"] == 32


def test_the_origin_is_told_though_its_dataset_was_made_anew(hub: Hub) -> None:
    old = hub.dataset("digits")
    commit_id = hub.commit(old, {"a": b"1"}, "as delivered")
    hub.split(old, commit_id, "train")
    hub.repository.blobs.delete("names/default/digits.json")
    hub.commit(hub.dataset("digits", "model"), {"a": b"2"})
    origin = explain(hub, "digits-train").children[0]
    assert (origin.sort, origin.title, origin.id) == ("dataset", "digits", commit_id)
    with pytest.raises(NotFound):
        explain(hub, f"digits@{commit_id}")


def test_what_a_later_version_wrote_is_passed_on(story: Story) -> None:
    story.hub.deploy("digits-net", ("v2", story.models[1], 100), action="promote")
    node = explain(story.hub, "endpoint:digits-net")
    assert (node.about, node.details["action"]) == (("promote v2",), "promote")
    story.hub.run(state="paused")
    assert explain(story.hub, "run:3").about[-1] == "paused"
    with story.hub.catalog() as catalog:
        assert [run.state for run in catalog.runs(state="paused")] == ["paused"]
        assert catalog.left_out == ()


def test_another_project_is_named(story: Story) -> None:
    answer = lines(explain(story.hub, "default/digits-net", project="vision"))
    assert answer[0].startswith("default/digits-net v2")
    assert answer[1].strip().startswith("run default/2")


def test_a_lost_object_is_said_so(story: Story, hub: Hub) -> None:
    for pack in sorted((hub.folder / "packs").rglob("*.pack")):
        pack.unlink()
    with pytest.raises(SystemFault):
        explain(Hub(hub.folder), "digits")


def test_a_prediction_of_another_hub_is_not_found(story: Story, tmp_path: Path) -> None:
    other = Hub(tmp_path / "other")
    with pytest.raises(NotFound) as caught:
        explain(other, f"prediction:{ids.new_prediction_id(story.event.key, 1)}")
    assert caught.value.code == "unknown_prediction"
    with pytest.raises(NotFound):  # the event had two versions
        explain(story.hub, f"prediction:{ids.new_prediction_id(story.event.key, 2)}")


def test_a_time_beyond_the_calendar_does_no_harm(story: Story) -> None:
    odd = ids.PredictionId(2**48 - 1, story.event.key, 0, 5)
    assert explain(story.hub, f"prediction:{odd}").time == ""
    last_second = ids.PredictionId(253402300799_000, story.event.key, 0, 5)
    assert explain(story.hub, f"prediction:{last_second}").time == ""  # it is later in Kiribati


def test_times_are_those_of_the_records(story: Story) -> None:
    node = explain(story.hub, "digits")
    commit: Commit = story.hub.repository.commit(story.corrected)
    assert node.time == commit.time
    prediction = ids.new_prediction_id(story.event.key, 0)
    shown = clock.moment(explain(story.hub, str(prediction)).time)
    assert abs(shown - clock.moment(clock.now())) < timedelta(minutes=1)
