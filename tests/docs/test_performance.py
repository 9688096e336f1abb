"""docs/performance.md says what docs/figures/ has, and no more."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "performance.py"


@pytest.fixture
def performance() -> ModuleType:
    spec = importlib.util.spec_from_file_location("performance", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def figures(ours: float, theirs: float) -> dict[str, Any]:
    def tool(seconds: float, rounds: int) -> dict[str, Any]:
        taken = [{"seconds": seconds * n, "cpu_seconds": 1.0, "peak_mb": 99.0} for n in range(1, rounds + 1)]
        return {"steps": {"first commit": taken}, "stored": [5e6] * rounds, "added": [1e3] * rounds}

    tools = {"kamld": tool(ours, 3), "cp": tool(theirs, 3), "git": tool(theirs, 1)}
    work = {"about": "100,000 files", "date": "2026-03-02", "on": "ext2/ext3", "tools": tools}
    return {
        "cores": 2, "python": "3.11", "system": "Linux", "scale": 1.0, "tools": {"cp": "9.1"},
        "works": {"small": work},
    }  # fmt: skip


@pytest.mark.parametrize(("ours", "said"), [(0.8, "reached"), (0.9, "**missed**")])
def test_what_must_be_reached(performance: ModuleType, ours: float, said: str) -> None:
    page = performance.page(figures(ours, 1.0), None)
    (row,) = [line for line in page.splitlines() if line.startswith("| 100,000 files: first commit")]
    assert row == f"| 100,000 files: first commit | ≤ 0.8 × cp -r | {ours} × cp -r | {said} |"
    assert "| 1,000,000 files: status | ≤ 6 s | not measured | |" in page


def test_medians_ratios_and_rounds(performance: ModuleType) -> None:
    page = performance.page(figures(2.0, 1.0), None)
    assert "| first commit | 4.00 s | 2.00 s (0.5×) | 1.00 s (0.2×) |" in page
    assert "2026-03-02, 3 rounds (of these: git 1), on ext2/ext3." in page
    assert "| most memory of its own | 99 MB | 99 MB | 99 MB |" in page


def test_the_page_is_of_the_figures_that_are_there(
    performance: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["performance.py", "--check"])
    assert performance.main() == 0, capsys.readouterr().out
