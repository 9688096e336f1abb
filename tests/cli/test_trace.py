"""From a prediction back to the first delivery, and what is left when the catalog goes."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from kamld import ids
from tests.cli.conftest import Kamld

TRAIN = """
import pathlib, shutil, kamld
assert sorted(p.name for p in kamld.input("digits-train").iterdir())
shutil.copy(kamld.params()["file"], kamld.output("net"))
kamld.log_metrics(accuracy=0.5, step=1)
kamld.log_metrics(accuracy=0.75, step=2)
"""


@pytest.fixture
def traced(kamld: Kamld, digits: Path, model: str, here: Path) -> str:
    """The whole way; the id of a prediction."""
    kamld("commit digits -m 'as delivered'")
    (digits / "0/a.txt").write_text("corrected")
    kamld("commit digits -m corrected")
    kamld("split digits --test 0.5 --seed 3")
    (here / "train.py").write_text(TRAIN)
    kamld("run -i digits-train -o model:net -p file=double/model.onnx -- python train.py")
    kamld("alias net champion")
    kamld("deploy net@champion --why 'first try'")
    prediction = str(kamld("predict net row.json --json").json["prediction_id"])
    deadline = time.monotonic() + 10  # the log is written beside the answer, not before it
    while not kamld(f"why {prediction} --json").json["details"]["logged"]:
        assert time.monotonic() < deadline
    return prediction


def chain(node: dict, sort: str) -> list[dict]:  # type: ignore[type-arg]
    """All nodes of a sort, from the top."""
    found = [node] if node["kind"] == sort else []
    return found + [below for child in node.get("children", ()) for below in chain(child, sort)]


def test_a_prediction_names_the_first_delivery(kamld: Kamld, traced: str) -> None:
    tree = kamld(f"why {traced} --json").json
    assert tree["id"] == traced
    assert chain(tree, "deployment")[0]["details"]["revision"] == "champion"
    assert chain(tree, "run")[0]["details"]["metrics"] == {"accuracy": 0.75}
    first = kamld("log digits --json").json[-1]
    deliveries = [node for node in chain(tree, "dataset") if node.get("details", {}).get("first")]
    assert [node["commit"] for node in deliveries] == [first["commit"]]
    text = kamld(f"why {traced}").out
    for word in ("deployment net", "net v1", "run 1", "split 50 % of digits, seed 3", "as delivered"):
        assert word in text


def test_a_prediction_of_no_day_leads_there_too(kamld: Kamld, traced: str) -> None:
    odd = replace(ids.parse_prediction_id(traced), time_ms=2**48 - 1)
    first = kamld("log digits --json").json[-1]
    tree = kamld(f"why {odd} --json").json
    assert first["commit"] in {node["commit"] for node in chain(tree, "dataset")}
    assert tree["time"] is None
    assert "deployment net" in kamld(f"why {odd}").out


@pytest.mark.parametrize("lost", ["catalog.sqlite", "index"])
def test_what_is_derived_can_go_and_no_answer_changes(
    kamld: Kamld, traced: str, hub: Path, lost: str
) -> None:
    import shutil

    questions = [
        f"why {traced} --json", "why net --json", "why digits-train --json", "why run:1 --json",
        "why endpoint:net --json", "runs --json", "ls --json", "log digits --json", "log net@champion --json",
        "ls digits@main~1 --json",
    ]  # fmt: skip
    commit = kamld("log digits --json").json[0]["commit"]
    questions.append(f"why {commit} --json")
    before = [kamld(question).out for question in questions]
    if lost == "index":
        shutil.rmtree(hub / "index")
    else:
        for path in (hub / "local").glob("catalog.sqlite*"):
            path.unlink()
    kamld("rebuild")
    assert [kamld(question).out for question in questions] == before


def test_deploy_predict_stop(kamld: Kamld, model: str) -> None:
    said = kamld("deploy double --json").json
    assert (said["name"], said["state"], said["grpc_url"]) == ("double", "serving", None)
    assert said["versions"][0]["version"] == "v1"
    assert said["versions"][0]["weight"] == 100
    assert "already" in kamld("deploy double").out
    answer = kamld("predict double row.json --json").json
    assert answer["outputs"] == {"y": [[42.0]]}
    assert "42" in kamld("predict double row.json").out
    listed = kamld("deployments --json").json
    assert [(d["name"], d["state"], d["url"]) for d in listed] == [("double", "serving", said["url"])]
    kamld("stop double")
    assert kamld("deployments --json").json == []
    assert "already" in kamld("stop double").out
    kamld("predict double row.json", status=1)
