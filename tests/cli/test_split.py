"""`kamld split` as a person uses it."""

from pathlib import Path

import pytest

from tests.cli.conftest import Kamld


@pytest.fixture
def scans(kamld: Kamld, here: Path) -> Path:
    folder = here / "scans"
    rows = ["file,diagnosis,patient"]
    for n in range(40):
        side = ("left", "right")[n % 2]
        (folder / side).mkdir(parents=True, exist_ok=True)
        (folder / side / f"{n:02}.png").write_text("x" * n + str(n))
        rows.append(f"{side}/{n:02}.png,{('well', 'ill')[n // 20]},p{n // 4}")
    (folder / "labels.csv").write_text("\n".join(rows))
    kamld("commit scans -m one")
    return folder


def test_parts_with_strata_and_groups(kamld: Kamld, scans: Path) -> None:
    words = "split scans --parts train=0.6,val=0.2,test=0.2 --stratify labels.csv:diagnosis"
    words += " --group labels.csv:patient"
    said = kamld(f"{words} --json").json
    assert {part["part"]: part["examples"] for part in said["parts"]} == {"train": 24, "val": 8, "test": 8}
    assert said["rule"]["group"] == "labels.csv:patient"
    assert (said["on_both_sides"], said["groups_on_both_sides"], said["short"], said["of"]) == (0, [], [], 40)
    told = kamld("log scans-val").out
    assert "20 % of scans, seed 0, by labels.csv:diagnosis, labels.csv:patient together" in told
    assert "split 20 % of scans, seed 0, by labels.csv:diagnosis" in kamld("why scans-val").out


def test_its_name_alone_repeats_the_rule(kamld: Kamld, scans: Path) -> None:
    kamld("split scans --test 0.25 --stratify folder")
    assert "as before" in kamld("split scans").out
    (scans / "left/new.png").write_text("new")
    kamld("commit scans -m two")
    said = kamld("split scans --json").json
    assert said["rule"]["by"] == "folder"
    assert sum(part["examples"] for part in said["parts"]) == 41
    assert [part["changed"] for part in said["parts"]] == [True, True]


def test_the_same_rule_finds_parts_that_have_other_names_by_now(kamld: Kamld, scans: Path) -> None:
    kamld("split scans --test 0.25 --seed 3")
    kamld("mv scans pictures")
    (scans / "left/new.png").write_text("new")
    kamld("commit scans -m two")
    for words, parts in (
        ("", ["scans-test", "scans-train"]),
        ("mv scans-train learn", ["learn", "scans-test"]),
        ("mv scans-test exam", ["exam", "learn"]),
    ):
        if words:
            kamld(words)
        said = kamld("split pictures --test 0.25 --seed 3 --json").json
        assert sorted(part["name"] for part in said["parts"]) == parts
        assert sum(part["examples"] for part in said["parts"]) == 41
    assert [one["name"] for one in kamld("ls --json").json] == ["exam", "learn", "pictures"]


def test_another_rule_after_a_renaming_is_refused_as_before_it(kamld: Kamld, scans: Path) -> None:
    kamld("split scans --test 0.25")
    before = kamld("split scans --test 0.5", 1).err
    kamld("mv scans pictures")
    assert kamld("split pictures --test 0.5", 1).err == before
    half = kamld("split pictures --test 0.5 --prefix half --json").json["parts"]
    assert {part["name"] for part in half} == {"half-train", "half-test"}
    assert "scans-train" in kamld("split pictures").out
    kamld("split pictures --parts a=0.5,b=0.5")
    assert "pictures-a" in kamld("ls").out


def test_rows_are_found_under_other_names_too(kamld: Kamld, here: Path) -> None:
    (here / "houses").mkdir()
    rows = [f"{n},r{n % 2}" for n in range(40)]
    (here / "houses/houses.csv").write_text("\n".join(["id,region", *rows, ""]))
    kamld("commit houses -m one")
    kamld("split houses --stratify region")
    kamld("mv houses homes")
    kamld("split homes --stratify region")
    for words in ("--stratify region", "--stratify houses.csv:region --rows houses.csv", ""):
        assert "as before" in kamld(f"split homes {words}").out
    assert len(kamld("ls --json").json) == 3


def test_a_view_and_its_renewal(kamld: Kamld, scans: Path) -> None:
    told = kamld("""split scans --where "folder = 'left' AND size > 30" --as large""").out
    assert "When scans grows: kamld split scans --as large" in told
    assert "those of scans where folder = 'left' AND size > 30" in kamld("why large").out
    assert "as before" in kamld("split scans --as large").out
    said = kamld("""split scans --where "diagnosis = 'ill'" --table labels.csv --as ill --json""").json
    assert [part["examples"] for part in said["parts"]] == [20]
    assert said["parts"][0]["part"] == ""


def test_a_view_in_another_project(kamld: Kamld, scans: Path) -> None:
    kamld("split scans --where 'size > 30' --as clinic/large")
    assert kamld("log clinic/large --json").json[0]["message"] == "scans where size > 30"


def test_rows_come_out_in_a_checkout(kamld: Kamld, here: Path) -> None:
    (here / "houses").mkdir()
    rows = [f"{n},r{n % 2}" for n in range(100)]
    (here / "houses/houses.csv").write_text("\n".join(["id,region", *rows, ""]))
    kamld("commit houses -m one")
    assert "80 rows" in kamld("split houses --stratify region").out
    kamld("checkout houses-test out")
    lines = (here / "out/houses.csv").read_text().splitlines()
    assert lines[0] == "id,region"
    assert set(lines[1:]) < set(rows)
    assert sum(line.endswith("r0") for line in lines) == 10


def test_what_is_not_as_one_would_wish_is_told(kamld: Kamld, scans: Path) -> None:
    kamld("split scans --test 0.5 --group labels.csv:patient")
    sides = [{f["path"] for f in kamld(f"ls scans-{part} --json").json} for part in ("train", "test")]
    rows = (scans / "labels.csv").read_text().splitlines()[1:]
    one, other = (next(r for r in rows if r.split(",")[0] in side).split(",")[2] for side in sides)
    (scans / "both.png").write_text("both")
    (scans / "labels.csv").write_text("\n".join([
        "file,diagnosis,patient", *rows, f"both.png,ill,{one}", f"both.png,ill,{other}"]))  # fmt: skip
    kamld("commit scans -m two")
    told = kamld("split scans").out
    assert "On several sides of labels.csv:patient: p" in told
    assert "What was split before was not moved." in told
    assert (
        "40 of 40 kinds have too few files for every part"
        in kamld("split scans@main~1 --stratify labels.csv:file --prefix odd").out
    )


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        ("--test 0.3 --parts a=0.5,b=0.5", 2, "two ways"),
        ("--as x", 2, "--as needs a condition"),
        ("--as x --where 'size > 1' --seed 3", 2, "not parts"),
        ("--table labels.csv", 2, "--rows"),
        ("--test 1.5", 1, "--test 0.3"),
        ("--parts a=0.5,b=0.4", 1, "add up to 0.9"),
        ("--parts a=0.5,a=0.5", 1, "twice"),
        ("--parts a=0.5,b=much", 1, '"b=much"'),
        ("--parts a=1", 1, "between 0 and 1"),
        ("--parts a/b=0.5,c=0.5", 1, "cannot be the name of a part"),
        ("--stratify diagnosis", 1, "--stratify labels.csv:diagnosis"),
        ("--stratify labels.csv:diagnosys", 1, 'Did you mean "diagnosis"?'),
        ("--stratify label.csv:diagnosis", 1, 'Did you mean "labels.csv"?'),
        ("--where 'sise > 3' --as x", 1, "  sise > 3\n  ^"),
        ("--prefix a/b/c", 1, "slash too many"),
    ],
)
def test_what_cannot_be_asked(kamld: Kamld, scans: Path, words: str, status: int, told: str) -> None:
    assert told in kamld(f"split scans {words}", status).err
    assert [found["name"] for found in kamld("ls --json").json] == ["scans"]
