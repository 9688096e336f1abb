"""System calls that Python has no name for."""

import ctypes
import os
from pathlib import Path

_HERE = -100  # AT_FDCWD


def rename(old: Path, new: Path, flags: int) -> None:
    """renameat2. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_HERE, os.fsencode(old), _HERE, os.fsencode(new), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
