"""Every block of code in README.md and docs/ does what the page says."""

from pathlib import Path

import pytest

from tests.docs.pages import BadPage
from tests.docs.sandbox import Wrong, run_page

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _marked(page: Path) -> object:
    """A page that calls another program in its text needs that component."""
    text = page.read_text("utf-8")
    commands = {"curl": "curl", "git": "git", "fuse": "kamld mount"}
    needs = [pytest.mark.needs(part) for part, command in commands.items() if f"$ {command} " in text]
    return pytest.param(page, marks=needs, id=str(page.relative_to(ROOT)))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [_marked(page) for page in PAGES])
def test_page(page: Path, tmp_path: Path) -> None:
    try:
        run_page(page, tmp_path / "page")
    except (BadPage, Wrong) as error:
        pytest.fail(str(error).replace(f"{ROOT}/", ""), pytrace=False)
