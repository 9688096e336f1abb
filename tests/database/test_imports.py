import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["kamld.catalog.lineage", "kamld.catalog.compare", "kamld.database.answers"]
)
def test_light_modules_do_not_load_the_database(module: str) -> None:
    code = f"import sys, {module}; print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
