"""The index made anew from the packs themselves."""

from kamld.blobs import Blobs, Missing
from kamld.errors import SystemFault
from kamld.store import packs
from kamld.store.index.lookup import Index


def rebuild(blobs: Blobs, index: Index) -> tuple[int, tuple[str, ...]]:
    """(objects found, keys of damaged packs, which are left out)."""
    sound, damaged = [], []
    with index.alone():
        replaced = index.names()
        names = [name for listed in blobs.list("packs/") if (name := packs.name_of(listed.key))]
        for name in names:
            try:
                sound.append((name, packs.read_footer(blobs.view(packs.key(name)), packs.key(name))))
            except Missing:  # joined with others since it was listed
                continue
            except SystemFault as fault:
                if fault.code != "damaged_pack":
                    raise
                damaged.append(packs.key(name))
        index.rebuild(sound, replaced)
    return sum(len(footer.codecs) for _, footer in sound), tuple(damaged)
