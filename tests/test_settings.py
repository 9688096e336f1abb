"""Settings: where they come from, which one wins, what is refused; and their page in docs/."""

from contextlib import suppress
from dataclasses import MISSING, FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.errors import Invalid, SystemFault
from kamld.settings import Settings, read
from tests.conftest import Unprivileged

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "deep"
    folder.mkdir(parents=True)
    return folder


def put(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kamld.toml").write_text(text, "utf-8")


def test_defaults(home: Path, work: Path) -> None:
    found = read({"HOME": str(home)}, work)
    assert found == Settings(hub=str(home / ".local" / "share" / "kamld" / "hub"))


def test_frozen(work: Path) -> None:
    with pytest.raises(FrozenInstanceError):
        read({}, work).port = 1  # type: ignore[misc]


def test_who_wins(home: Path, work: Path) -> None:
    put(home / ".config" / "kamld", 'project = "own"\nport = 1\nthreads = 1\nauthor = "me"\n')
    put(work.parent, 'project = "near"\nport = 2\n')
    found = read({"HOME": str(home), "KAMLD_PROJECT": "said"}, work)
    assert (found.project, found.port, found.threads, found.author) == ("said", 2, 1, "me")


def test_the_nearest_file_alone(home: Path, work: Path) -> None:
    put(work.parent, "port = 1\nthreads = 1\n")
    put(work, "port = 2\n")
    found = read({"HOME": str(home)}, work)
    assert (found.port, found.threads) == (2, 0)


def test_where_the_hub_is(home: Path, work: Path) -> None:
    environment = {"HOME": str(home)}
    assert read(environment | {"XDG_DATA_HOME": "/data"}, work).hub == "/data/kamld/hub"
    assert read(environment | {"KAMLD_HUB": "here"}, work).hub == str(work / "here")
    assert read(environment | {"KAMLD_HUB": "~/hub"}, work).hub == str(home / "hub")
    assert read(environment | {"KAMLD_HUB": "/hub"}, work).hub == "/hub"
    put(work.parent, 'hub = "beside"\n')  # from its own folder, wherever the command is started
    assert read(environment, work).hub == str(work.parent / "beside")


def test_nobody_has_no_home(work: Path) -> None:
    assert read({"HOME": ""}, work).hub.endswith("kamld/hub")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KAMLD_PORT", "http"), ("KAMLD_PORT", "80.5"), ("KAMLD_PORT", "²"), ("KAMLD_PORT", "--1"),
        ("KAMLD_PORT", "65536"), ("KAMLD_PORT", "-1"), ("KAMLD_PORT", "9" * 5000),
        ("KAMLD_THREADS", "-1"), ("KAMLD_REQUEST_MB", "0"), ("KAMLD_LOG_OUTPUTS", "maybe"),
    ],
)  # fmt: skip
def test_bad_variables(work: Path, variable: str, value: str) -> None:
    with pytest.raises(Invalid) as bad:
        read({variable: value}, work)
    assert bad.value.code == "bad_settings"
    assert variable in bad.value.message


@pytest.mark.parametrize(
    "text",
    [
        'port = "80"',
        "port = true",
        "port = 70000",
        "log_outputs = 1",
        "colour = 1",
        "port = ",
        "[port]\nx = 1",
    ],
)
def test_bad_files(work: Path, text: str) -> None:
    put(work, text)
    with pytest.raises(Invalid) as bad:
        read({}, work)
    assert bad.value.code == "bad_settings"
    assert str(work / "kamld.toml") in bad.value.message


def test_a_file_that_is_not_text(work: Path) -> None:
    (work / "kamld.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(Invalid):
        read({}, work)


def test_a_file_that_may_not_be_read(work: Path, unprivileged: Unprivileged) -> None:
    put(work, "")
    (work / "kamld.toml").chmod(0)
    with unprivileged.here(), pytest.raises(SystemFault) as fault:
        read({}, work)
    assert str(work / "kamld.toml") in fault.value.message


@pytest.mark.parametrize(("text", "value"), [("1", True), ("yes", True), ("False", False), ("no", False)])
def test_truth(work: Path, text: str, value: bool) -> None:
    assert read({"KAMLD_LOG_OUTPUTS": text}, work).log_outputs is value


@given(st.dictionaries(st.sampled_from([f.name for f in fields(Settings)]), st.text(max_size=20)))
def test_no_value_raises_anything_else(values: dict[str, str]) -> None:
    environment = {f"KAMLD_{name.upper()}": text for name, text in values.items()}
    with suppress(Invalid):
        assert isinstance(read(environment, Path("/")), Settings)


def test_the_page_has_every_setting() -> None:
    assert table() in PAGE.read_text("utf-8"), f"docs/settings.md must have this table:\n\n{table()}"


def table() -> str:
    rows = ["| in the file | variable | default | |", "|---|---|---|---|"]
    for setting in fields(Settings):
        assert setting.default is not MISSING
        default = _written(setting.default)
        about = setting.metadata["about"].replace("|", "\\|")
        rows.append(f"| `{setting.name}` | `KAMLD_{setting.name.upper()}` | {default} | {about} |")
    return "\n".join(rows)


def _written(default: Any) -> str:
    if default == "":
        return ""
    return f'`"{default}"`' if isinstance(default, str) else f"`{str(default).lower()}`"


@pytest.mark.parametrize("name", ["KAMLD_HUBB", "KAMLD_KEEPDAYS", "KAMLD_", "KAMLD_INPUT", "KAMLD_hub"])
def test_variables_that_are_no_settings(work: Path, name: str) -> None:
    with pytest.raises(Invalid, match=f"The variable {name} is no setting") as caught:
        read({name: "0"}, work)
    assert name in caught.value.hint
    assert read({name: ""}, work) == read({}, work)  # unset, as for every setting


def test_variables_of_runs_and_of_others(work: Path) -> None:
    others = ("KAMLD_INPUT_A", "KAMLD_OUTPUT_A", "KAMLD_PARAM_LR", "KAMLD_RUN_ID", "KAMLD_RUN_DIR", "KAMLDX")
    assert read(dict.fromkeys(others, "x"), work) == read({}, work)
