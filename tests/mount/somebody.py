"""Commands as somebody who is not root, and may nonetheless do what setuid programs do for everybody."""

import os
import subprocess
import sys
from functools import cache

UID = 65534  # Debian's nobody, on whose name nothing here depends
_PLAIN = ["--reuid", f"{UID}", "--regid", f"{UID}", "--clear-groups"]
# What a machine has: a device that anybody may open. In a container it may be root's alone.
_ANYBODYS_DEVICE = """
    setpriv --reuid "$0" --regid "$0" --clear-groups test -w /dev/fuse || {
        mount -t tmpfs -o mode=755 kamld-test /mnt && mknod -m 666 /mnt/fuse c 10 229 &&
        mount --bind /mnt/fuse /dev/fuse
    } || exit 1
    exec "$@"
"""


def as_somebody(*words: str) -> list[str]:
    """The command, started as such a person; where root tests, with mounts that nobody else sees."""
    if os.geteuid() != 0:
        return [*words]
    own = ["unshare", "--mount", "sh", "-c", _ANYBODYS_DEVICE, f"{UID}"]
    return [*own, "setpriv", *_PLAIN, *_capabilities(), *words]


@cache
def _capabilities() -> list[str]:
    """None; or to read where others may not, if our Python is in such a folder. Setuid programs have their
    own."""
    none = ["--inh-caps=-all", "--ambient-caps=-all"]
    start = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import kamld'], check=True)"
    command = ["setpriv", *_PLAIN, *none, sys.executable, "-c", start]
    try:
        if subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0:
            return none
    except (OSError, subprocess.TimeoutExpired):
        return none
    return ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
