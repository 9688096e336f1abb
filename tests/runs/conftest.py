"""A hub in which tests run commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.stage import Stage, staged


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path / "hub", tmp_path / "work") as made:
        yield made
