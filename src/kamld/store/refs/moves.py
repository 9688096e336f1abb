"""Refs: each names one commit, and remembers every commit it named before.

A ref is one small object that moves by compare-and-swap. It carries the newest part of the log of
its own moves, so that a move, its entry in the log and, on a model's main, the version number it
gives are one atomic write. A part of 64 moves is sealed under `log/` before the ref drops it.

A ref never names a commit that is not durable: callers flush the writer first.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from urllib.parse import quote, unquote

import msgspec
from blake3 import blake3

from kamld import clock, ids
from kamld.blobs import Blobs, Changed, Missing
from kamld.errors import Conflict, NotFound, SystemFault
from kamld.records.encoding import newer
from kamld.records.history import Dataset, Move, Protection, Ref, RefKind, SealedMoves
from kamld.records.names import MAIN
from kamld.store.envelope import seal, unseal

MOVES_MAX = 64
_TURN_S = 30.0  # longer than any landing takes: whoever is ahead was stopped
_KEY = re.compile(r"refs/[0-9a-f]{32}/(?:[A-Za-z0-9_~]|%[0-9A-F]{2})(?:[A-Za-z0-9_.~-]|%[0-9A-F]{2})*")


class Refs:
    def __init__(self, blobs: Blobs, awake: Callable[[], None] = lambda: None) -> None:
        """`awake` raises where what is about to be named may have been collected meanwhile."""
        self._blobs = blobs
        self._awake = awake

    def find(self, dataset: Dataset, name: str) -> Ref | None:
        """The ref, also one that was removed (its commit is None)."""
        return self._read(_key(dataset.id, name))[0]

    def all(self, dataset: Dataset) -> list[Ref]:
        """Those that name a commit, sorted by name."""
        return [ref for ref in self.ever(dataset) if ref.commit]

    def ever(self, dataset: Dataset) -> list[Ref]:
        """Also those that were removed, sorted by name."""
        keys = [listed.key for listed in self._blobs.list(f"refs/{dataset.id}/")]
        there = [(key, self._read(key)[0]) for key in keys if _KEY.fullmatch(key)]
        return sorted((ref for _, ref in there if ref), key=lambda ref: ref.name)

    def move(
        self, dataset: Dataset, name: str, kind: RefKind, commit: str | None, *,
        expected: str | None, author: str, reason: str, forward: bool = False,
        after: Move | None = None, amends: bool = False, passed: Protection | None = None,
        numbered: bool = True, carries: str | None = None,
    ) -> Move:  # fmt: skip
        """Point the ref at `commit` if it still names `expected` (None: nothing, or it is not there).

        `forward`: the caller knows that `commit` comes after `expected`. `after`: only if that is still
        the ref's last move. `amends`: `commit` replaces `expected`. `passed`: the protection whose
        checks `commit` has passed. `numbered`: the move may give a model's next version number. `carries`:
        the version whose changes `commit` has.

        Raises Conflict (ref_moved, ref_kind, protected_branch), NotFound (unknown_ref); nothing has
        changed then.
        """
        key, write_id = _key(dataset.id, name), ids.new_id()
        while True:
            ref, present = self._read(key)
            self._awake()  # after reading: a collection from here on makes the swap fail
            if (ref.commit if ref else None) != expected or (ref and after and ref.last.seq != after.seq):
                raise _moved(name, ref)
            if ref and ref.commit and ref.kind != kind:
                raise Conflict(
                    "ref_kind",
                    f'"{name}" is a {ref.kind} of {dataset.said} already.',
                    "Choose another name.",
                )
            if ref and ref.protection and ref.protection != passed:
                raise protected(dataset, name)
            version = _next_version(self, dataset, name, ref, commit, forward) if numbered else None
            move = Move(
                seq=ref.last.seq + 1 if ref else 1, time=clock.now(), author=author, reason=reason,
                write_id=write_id, commit=commit, version=version, amends=amends, carries=carries,
            )  # fmt: skip
            try:
                self._blobs.swap(key, present, seal(self._extended(dataset, name, kind, ref, move)))
                return move
            except Changed as now:
                if now.value and self._has(unseal(now.value, Ref, key), move):
                    return move  # it had landed; only the reply was lost

    def protect(
        self, dataset: Dataset, name: str, change: Callable[[Protection | None], Protection | None]
    ) -> Protection | None:
        """Set or lift what must hold before the branch moves: what `change` makes of what must hold at that
        moment, and gives. Raises NotFound (unknown_ref)."""
        key = _key(dataset.id, name)
        while True:
            ref, present = self._read(key)
            if ref is None or ref.commit is None:
                raise _moved(name, ref)
            made = change(ref.protection)
            to = seal(msgspec.structs.replace(ref, protection=made))
            try:
                self._blobs.swap(key, present, to)
                return made
            except Changed as now:
                if now.value == to:
                    return made  # only the reply was lost

    def sweep(self, dataset: Dataset) -> None:
        """Before anything is deleted: who has read a branch, and then slept, must not move it as if nothing
        had happened. Moves of those who are awake go on."""
        mark = ids.new_id()
        for listed in self._blobs.list(f"refs/{dataset.id}/"):
            while _KEY.fullmatch(listed.key):
                ref, present = self._read(listed.key)
                if ref is None or ref.commit is None or ref.kind != "branch" or ref.swept == mark:
                    break
                with suppress(Changed):  # by somebody who moved it; or our reply was lost
                    self._blobs.swap(listed.key, present, seal(msgspec.structs.replace(ref, swept=mark)))

    def turn(self, dataset: Dataset, name: str) -> AbstractContextManager[bool]:
        """One's turn among those of this machine who land on a branch: they come one after the other,
        none is overtaken by whoever is faster, and nobody's merge is in vain. A move never needs it."""
        return self._blobs.turn(f"land {_key(dataset.id, name)}", _TURN_S)

    def history(self, dataset: Dataset, name: str) -> Iterator[Move]:
        """Every move of the ref, newest first; none if it never was."""
        ref = self.find(dataset, name)
        if ref:
            yield from self._moves(ref)

    def _moves(self, ref: Ref) -> Iterator[Move]:
        yield from reversed(ref.moves)
        older = ref.older
        while older:
            sealed = self._sealed(ref, older)
            yield from reversed(sealed.moves)
            older = sealed.older

    def _sealed(self, ref: Ref, key: str) -> SealedMoves:
        """Raises SystemFault (lost_log, damaged_record)."""
        try:
            return unseal(self._blobs.get(key), SealedMoves, key)
        except Missing:
            raise SystemFault(
                "lost_log",
                f"The hub has lost a part of the log of {ref.name}: {unquote(key)} is not there.",
                "kamld fsck --repair --from COPY brings it back from a copy of the hub; without one,"
                " kamld fsck --repair goes on without it.",
            ) from None

    def at(self, dataset: Dataset, name: str, time: str) -> str | None:
        """The commit that the ref named then. None: it named none."""
        return next((move.commit for move in self.history(dataset, name) if move.time <= time), None)

    def versions(self, dataset: Dataset, *, amended: bool = False) -> dict[int, str]:
        """A model's version numbers and their commits, newest first; those that were amended away only
        with `amended`, for they may be gone."""
        if dataset.kind != "model":
            return {}
        given: dict[int, str] = {}
        named, replaced = set[str | None](), set[str]()
        amends = False
        for move in self.history(dataset, MAIN):
            if amends and move.commit and move.commit not in named:
                replaced.add(move.commit)
            named.add(move.commit)
            if move.version and move.commit and (amended or move.commit not in replaced):
                given[move.version] = move.commit
            amends = move.amends
        return given

    def version_of(self, dataset: Dataset, commit: str) -> int | None:
        return next((number for number, of in self.versions(dataset).items() if of == commit), None)

    def _has(self, ref: Ref, move: Move) -> bool:
        """Whether the ref made this very move, even if others came after it."""
        same = next((other for other in self._moves(ref) if other.seq <= move.seq), None)
        return same is not None and same.write_id == move.write_id

    def _read(self, key: str) -> tuple[Ref | None, bytes | None]:
        try:
            data = self._blobs.get(key)
        except Missing:
            return None, None
        return unseal(data, Ref, unquote(key)), data

    def _extended(self, dataset: Dataset, name: str, kind: RefKind, ref: Ref | None, move: Move) -> Ref:
        highest = max(move.version or 0, ref.highest if ref else 0)
        if ref is None:
            return Ref(name=name, kind=kind, moves=(move,), highest=highest)
        ref = msgspec.structs.replace(ref, kind=kind, highest=highest)
        if len(ref.moves) < MOVES_MAX:
            return msgspec.structs.replace(ref, moves=(*ref.moves, move))
        sealed = seal(SealedMoves(moves=ref.moves, older=ref.older))
        digest = blake3(sealed).hexdigest()[:16]
        key = f"log/{dataset.id}/{quote(name, safe='')}/{ref.moves[0].seq:010d}-{digest}"
        batch = self._blobs.batch()
        batch.put(key, [sealed])
        batch.flush()
        return msgspec.structs.replace(ref, moves=(move,), older=key)


def _next_version(
    refs: Refs, dataset: Dataset, name: str, ref: Ref | None, commit: str | None, forward: bool
) -> int | None:
    """The number that a move of a model's main gives: the next one, or the commit's own if it has one.

    Who goes forward from the newest version comes to a commit that was not on main before; only
    others need the log.
    """
    if name == MAIN and dataset.kind not in ("dataset", "model"):
        raise newer("kind", dataset.kind, f"{dataset.project}/{dataset.name}")
    if dataset.kind != "model" or name != MAIN or commit is None:
        return None
    if ref is None or (forward and ref.last.version == ref.highest):
        return ref.highest + 1 if ref else 1
    given = refs.versions(dataset, amended=True)
    return next((number for number, of in given.items() if of == commit), ref.highest + 1)


def protected(dataset: Dataset, name: str, way: str = "") -> Conflict:
    """`way`: what to do with what was to land, so that NEW is a branch that has it."""
    way = way or 'Commit to another branch: kamld commit FOLDER -b NEW -m "…"'
    into = "" if name == MAIN else f" --into {name}"
    return Conflict(
        "protected_branch",
        f"{name} of {dataset.said} is protected: only kamld merge moves it, once its checks pass.",
        f"{way}; then: kamld merge {dataset.said} NEW{into}."
        f" To lift it: kamld branch {dataset.said}@{name} --unprotect",
    )


def _moved(name: str, ref: Ref | None) -> Conflict | NotFound:
    if ref is None or ref.commit is None:
        return NotFound("unknown_ref", f'There is no branch, tag or alias "{name}" any more.')
    return Conflict(
        "ref_moved",
        f"{name} was moved to {ids.short(ref.commit)} meanwhile.",
        "Look at it, then try again.",
    )


def _key(dataset_id: str, name: str) -> str:
    return f"refs/{dataset_id}/{quote(name, safe='')}"
