import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.errors import SystemFault
from kamld.records.encoding import encode
from kamld.records.history import Dataset
from kamld.store.envelope import seal, unseal


@given(st.text(st.characters(blacklist_categories=("Cs",)), max_size=10), st.integers(0), st.integers(0, 255))
def test_a_sealed_record_is_read_or_refused(name: str, at: int, byte: int) -> None:
    record = Dataset(id="1" * 32, project="p", name=name, kind="dataset", created="")
    sealed = seal(record)
    assert sealed.split(b"\n")[0] == encode(record)
    assert unseal(sealed, Dataset, "it") == unseal(memoryview(sealed), Dataset, "it") == record
    at %= len(sealed)
    hurt = sealed[:at] + bytes([byte]) + sealed[at + 1 :]
    for data in (hurt if hurt != sealed else b"", sealed[:at], sealed + sealed):
        with pytest.raises(SystemFault) as fault:
            unseal(data, Dataset, "it")
        assert fault.value.code == "damaged_record"
