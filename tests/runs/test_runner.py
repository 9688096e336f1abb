"""Whole runs with real commands: what is kept of them, and what is not."""

import sys
from pathlib import Path
from threading import Thread

import pytest

from kamld.errors import Invalid, KamldError, NotFound
from kamld.records.names import Name
from kamld.runs.runner import Outcome
from tests.runs.stage import AUTHOR, Stage, Told, staged

TRAIN = """
import os, pathlib, sys
rows = sum(1 for _ in open(pathlib.Path(os.environ["KAMLD_INPUT_DIGITS_TRAIN"], "rows.csv")))
pathlib.Path(os.environ["KAMLD_OUTPUT_NET"], "model.txt").write_text(
    f"{rows} rows, C={os.environ['KAMLD_PARAM_C']}")
print("trained")
print("a warning", file=sys.stderr)
"""


def test_a_run_that_succeeds(stage: Stage) -> None:
    data = stage.commit("digits-train", {"rows.csv": "1\n2\n3\n"})
    told = Told()
    made = stage.python(TRAIN, inputs=["digits-train"], outputs=["model:net"], params=["C=0.1"], told=told)
    run = stage.repository.sealed.run_by_number("default", 1)
    assert made.run == run
    assert made.exit_status == 0
    assert made.failure is None
    assert (run.state, run.exit_status, run.number, run.author) == ("succeeded", 0, 1, AUTHOR)
    assert run.params == {"C": 0.1}
    assert run.command == (sys.executable, "-c", TRAIN)
    assert [(one.label, one.commit, one.revision) for one in run.inputs] == [("digits-train", data, "main")]
    assert (stage.text(run.stdout), stage.text(run.stderr)) == (b"trained\n", b"a warning\n")
    assert told.streams == {"stdout": b"trained\n", "stderr": b"a warning\n"}
    assert run.environment
    assert run.environment.python == sys.version.split()[0]
    assert "msgspec" in run.environment.packages
    assert stage.files("net") == {"model.txt": b"3 rows, C=0.1"}
    [landing] = made.landings
    assert (landing.branch, landing.version, landing.files, landing.bytes) == ("main", 1, 1, 13)
    commit = stage.repository.commit(landing.output.commit)
    assert commit.run == run.id
    assert commit.message.startswith("run 1: ")
    assert "\n" not in commit.message
    assert stage.left() == []
    assert stage.live.runs() == []
    [begun] = told.begun_runs
    assert [(v, how) for _, v, how in begun.inputs] == [("KAMLD_INPUT_DIGITS_TRAIN", "checked out")]


def test_the_record_is_sealed_before_any_ref_moves(stage: Stage) -> None:
    made = stage.python(TRAIN_NOTHING_READ, outputs=["model:net"])
    assert stage.repository.sealed.run(made.run.id).outputs[0].commit == made.run.outputs[0].commit
    assert made.landings[0].version == 1


TRAIN_NOTHING_READ = """
import os, pathlib
pathlib.Path(os.environ["KAMLD_OUTPUT_NET"], "model.txt").write_text("a model")
"""


def test_a_second_run_is_the_next_version(stage: Stage) -> None:
    first = stage.python(TRAIN_NOTHING_READ, outputs=["model:net"])
    second = stage.python(TRAIN_NOTHING_READ, outputs=["model:net"])
    assert [made.landings[0].version for made in (first, second)] == [1, 2]
    commit = stage.repository.commit(second.landings[0].output.commit)
    assert commit.parents == (first.landings[0].output.commit,)
    assert second.run.number == 2


def test_a_command_that_fails(stage: Stage) -> None:
    made = stage.run("sh", "-c", 'echo so far; echo x > "$KAMLD_OUTPUT_NET/m"; exit 7', outputs=["model:net"])
    run = stage.repository.sealed.run(made.run.id)
    assert (made.exit_status, run.state, run.exit_status) == (7, "failed", 7)
    assert run.error == "The command ended with status 7."
    assert run.outputs == ()
    assert stage.text(run.stdout) == b"so far\n"
    assert stage.repository.names.find(Name("default", "net")) is None
    assert made.failure
    assert (made.failure.code, made.failure.exit_status) == ("command_failed", 7)


def test_a_command_that_dies_by_a_signal(stage: Stage) -> None:
    made = stage.run("sh", "-c", "kill -SEGV $$")
    assert (made.exit_status, made.run.exit_status) == (128 + 11, -11)
    assert "SIGSEGV" in made.run.error


def test_an_output_that_is_missing(stage: Stage) -> None:
    made = stage.run("true", outputs=["model:net", "dataset:scores"])
    assert (made.run.state, made.run.exit_status, made.exit_status) == ("failed", 0, 1)
    assert made.failure
    assert made.failure.code == "output_missing"
    assert "wrote nothing to $KAMLD_OUTPUT_NET" in made.run.error
    assert stage.repository.names.all() == []


def test_one_of_two_outputs_missing_keeps_neither(stage: Stage) -> None:
    made = stage.run("sh", "-c", 'echo x > "$KAMLD_OUTPUT_NET/m"', outputs=["model:net", "dataset:scores"])
    assert made.run.state == "failed"
    assert stage.repository.names.all() == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"inputs": ["nowhere"]}, "unknown_name"),
        ({"inputs": ["digits@v9"]}, "unknown_revision"),
        ({"inputs": ["digits:rows.csv"]}, "input_path"),
        ({"inputs": ["digits", "digits"]}, "same_variable"),
        ({"inputs": ["a-b=digits", "a_b=digits"]}, "same_variable"),
        ({"outputs": ["model:digits"]}, "other_kind"),
        ({"outputs": ["net"]}, "bad_output"),
        ({"outputs": ["model:net@v1"]}, "bad_output"),
        ({"outputs": ["a=model:net", "b=model:net"]}, "duplicate_output"),
        ({"outputs": ["model:net:../out"]}, "bad_output_folder"),
        ({"outputs": ["model:net:/out"]}, "bad_output_folder"),
        ({"outputs": ["model:net:."]}, "bad_output_folder"),
        ({"outputs": ["model:net:a link"]}, "bad_output_folder"),
        ({"outputs": ["model:net:a file"]}, "bad_output_folder"),
        ({"params": ["C"]}, "bad_parameter"),
        ({"params": ["C=1", "C=2"]}, "same_variable"),
        ({"params": ["lr=1", "LR=2"]}, "same_variable"),
        ({"params": ["name=\udcff"]}, "not_text"),
    ],
)
def test_what_is_refused_before_anything_runs(stage: Stage, words: dict[str, list[str]], code: str) -> None:
    stage.commit("digits", {"rows.csv": "1\n"})
    (stage.folder / "a link").symlink_to(stage.folder.parent)
    (stage.folder / "a file").touch()
    with pytest.raises((Invalid, NotFound)) as caught:
        stage.run("touch", "ran", **words)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert not (stage.folder / "ran").exists()
    assert stage.repository.sealed.run_ids() == []
    assert stage.live.runs() == []


def test_a_command_that_is_not_there(stage: Stage) -> None:
    made = stage.run("no-such-program", "x")
    assert (made.exit_status, made.run.state) == (127, "failed")
    assert made.failure
    assert made.failure.code == "command_not_found"
    assert 'no program "no-such-program"' in made.run.error
    assert stage.repository.sealed.run(made.run.id).number == 1
    assert stage.left() == []


def test_a_command_that_is_not_executable(stage: Stage) -> None:
    (stage.folder / "train.sh").write_text("echo hello\n")
    made = stage.run("./train.sh")
    assert made.exit_status == 126
    assert "chmod +x ./train.sh" in made.run.error


def test_a_script_whose_interpreter_is_missing(stage: Stage) -> None:
    script = stage.folder / "train.sh"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    made = stage.run("./train.sh")
    assert made.exit_status == 126
    assert "first line" in made.run.error


def test_an_output_in_a_folder_of_its_own(stage: Stage) -> None:
    made = stage.run("sh", "-c", "mkdir -p out/net/a && echo x > out/net/a/m", outputs=["model:net:out/net"])
    assert made.exit_status == 0
    assert stage.files("net") == {"a/m": b"x\n"}
    assert made.run.code
    assert stage.tree_files(made.run.code.tree) == {}


def test_what_lay_in_an_outputs_folder_is_no_output(stage: Stage) -> None:
    (stage.folder / "out").mkdir()
    (stage.folder / "out" / "old").write_text("from the last time")
    told = Told()
    made = stage.run("true", outputs=["model:net:out"], told=told)
    assert made.failure
    assert made.failure.code == "output_missing"
    assert "was not empty" in told.begun_runs[0].notes[0]
    assert stage.run("touch", "out/new", outputs=["model:net:out"]).exit_status == 0
    assert set(stage.files("net")) == {"old", "new"}


def test_an_output_that_no_version_can_hold(stage: Stage) -> None:
    made = stage.run("sh", "-c", 'mkfifo "$KAMLD_OUTPUT_NET/pipe"', outputs=["model:net"])
    assert (made.run.state, made.code, made.exit_status) == ("failed", "special_file", 1)
    assert stage.left() == []


def test_a_command_in_another_language(stage: Stage) -> None:
    stage.commit("words", {"a/b.txt": "hello"})
    script = 'tr a-z A-Z < "$KAMLD_INPUT_WORDS/a/b.txt" > "$KAMLD_OUTPUT_LOUD/b.txt"'
    script += ' && echo "{\\"name\\": \\"size\\", \\"value\\": 5}" >> "$KAMLD_RUN_DIR/metrics.jsonl"'
    made = stage.run("sh", "-c", script, inputs=["words"], outputs=["loud=dataset:shouts"])
    assert stage.files("shouts") == {"b.txt": b"HELLO"}
    assert made.run.metrics == {"size": 5.0}
    assert made.run.name == "sh"


def test_the_command_has_no_input_and_means_the_same_hub(stage: Stage) -> None:
    made = stage.run("sh", "-c", 'cat; echo "$KAMLD_HUB|$KAMLD_PROJECT|$KAMLD_RUN_ID"')
    expected = f"{stage.state.parent}|default|{made.run.id}\n"
    assert stage.text(made.run.stdout).decode() == expected


def test_output_is_kept_byte_for_byte(stage: Stage) -> None:
    data = bytes(range(256)) * 1000
    (stage.folder / "noise").write_bytes(data)
    made = stage.run("cat", "noise")
    assert stage.text(made.run.stdout) == data


def test_what_a_command_leaves_running_is_stopped(stage: Stage) -> None:
    made = stage.run("sh", "-c", "(trap '' TERM; sleep 60; touch late) & echo done")
    assert made.exit_status == 0
    assert stage.text(made.run.stdout) == b"done\n"


def test_two_runs_at_once_into_one_model(tmp_path: Path) -> None:
    """Both are versions, one after the other, and both name the model's history."""
    made: list[Outcome | KamldError] = []
    script = 'sleep 0.3; echo $KAMLD_RUN_ID > "$KAMLD_OUTPUT_NET/model"'

    def run() -> None:
        with staged(tmp_path / "hub", tmp_path / "work") as stage:
            made.append(stage.run("sh", "-c", script, outputs=["model:net"]))

    threads = [Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcomes = [one for one in made if isinstance(one, Outcome)]
    assert sorted(o.landings[0].version or 0 for o in outcomes) == [1, 2, 3, 4]
    assert sorted(o.run.number for o in outcomes) == [1, 2, 3, 4]
    with staged(tmp_path / "hub", tmp_path / "work") as stage:
        for one in outcomes:
            version = one.landings[0].version
            assert stage.files(f"net@v{version}") == {"model": f"{one.run.id}\n".encode()}
        head = max(outcomes, key=lambda o: o.landings[0].version or 0).landings[0].output.commit
        assert len(list(stage.repository.log(head))) == 4


def test_somebody_elses_commit_at_the_last_moment_is_kept_beside(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by a run of this machine, so no turn of ours keeps it out."""
    stage.commit("net", {"model": "by hand\n"}, kind="model")
    repository, sealed = stage.repository, stage.repository.sealed.seal_run

    def seal_after_a_commit(run: object) -> None:
        source = stage.folder.parent / "source of net"
        (source / "model").write_text("by hand again\n")
        stage.commit_again(source)
        sealed(run)  # type: ignore[arg-type]

    monkeypatch.setattr(repository.sealed, "seal_run", seal_after_a_commit)
    made = stage.run("sh", "-c", 'echo x > "$KAMLD_OUTPUT_NET/model"', outputs=["model:net"])
    [landing] = made.landings
    assert landing.branch == f"main-conflict-{landing.output.commit[:12]}"
    assert landing.version is None
    assert stage.files("net") == {"model": b"by hand again\n"}
    assert stage.files(f"net@{landing.branch}") == {"model": b"x\n"}
