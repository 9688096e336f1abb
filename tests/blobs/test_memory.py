"""Blobs in memory do what every place for bytes must."""

import pytest

from kamld.blobs import MemoryBlobs
from tests.blobs.conformance import Conformance, Open


class TestMemory(Conformance):
    @pytest.fixture
    def open(self) -> Open:
        place = MemoryBlobs()
        return lambda: place
