"""Records as they are kept under keys of their own: canonical JSON, and a second line that has its
BLAKE3, so that a byte that flipped is noticed and not believed.
"""

import msgspec
from blake3 import blake3

from kamld.records.encoding import Record, damaged, decode, encode


def seal(record: msgspec.Struct) -> bytes:
    """Raises Invalid (not_text)."""
    data = encode(record)
    return b"%s\n%s\n" % (data, blake3(data).hexdigest().encode())


def unseal(data: bytes | memoryview, kind: type[Record], where: str) -> Record:
    """The record that `seal` wrote. Raises SystemFault (damaged_record)."""
    content, _, rest = bytes(data).partition(b"\n")
    if rest != b"%s\n" % blake3(content).hexdigest().encode():
        raise damaged(where, kind, "its hash is another")
    return decode(content, kind, where)
