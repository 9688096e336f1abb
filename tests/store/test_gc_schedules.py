"""Nothing that anybody may rely on is ever collected, whatever the order in which things happen.

Some ten users write, amend, undo, tag, remove and bring back, split off, run and read while one or two
collect, with a minimum age of an hour that passes in jumps; some are killed, some machines sleep longer
than a lease lasts. Afterwards all that a ref, a run or a waiting merge names must be whole and as it was
written, with all that came before it, no garbage may be left, and an index made anew must say the same.

That these schedules find what they are for is seen by breaking the protocol on purpose, one way at a time
(`test_what_is_broken_is_found`): what is reached by the second marking is not copied; leases are not waited
for; writers rely on what is condemned; a lost lease does not matter when landing. On the day this was written
the 4th, the 7th, the 48th and the 155th schedule found it. What they find too rarely has a test of its own in
test_gc_traps: rows of packs that are gone, old commits that are named again, files taken from elsewhere.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module

import msgspec
import pytest

from kamld import clock
from kamld.errors import Conflict, KamldError
from kamld.records.history import Condemned, Dataset
from kamld.records.names import Name
from kamld.records.run import Code, Run
from kamld.store import Repository
from kamld.store import repository as repositories
from kamld.store.gc import collect, look
from kamld.store.leases import Held
from kamld.store.trees import Tree, write_tree
from tests.counts import tried
from tests.store.hubs import AUTHOR, Files, files_of, put
from tests.store.schedules import Schedule, User, opened, simulated

collecting = import_module("kamld.store.gc.collect")  # the module; the package has the function by its name
HOUR = timedelta(hours=1)
SEEDS, SEEDS_LONG = 100, 10_000
EXPECTED = {  # what a user may be told when others were faster
    "collected", "collecting", "ref_moved", "unknown_ref", "unknown_revision", "name_taken", "ref_kind",
    "unknown_name", "merge_changed", "busy_index", "expired_checkpoint",
}  # fmt: skip
GONE = ("missing_object", "missing_pack", "damaged_index")


@dataclass
class World:
    """What the users did, as they know it themselves."""

    schedule: Schedule
    datasets: list[Dataset]
    age: timedelta  # between the phases of every collection
    contents: dict[str, Files] = field(default_factory=dict)  # of each commit that was written
    landed: set[str] = field(default_factory=set)  # on `main`, which is never moved back
    failures: list[BaseException] = field(default_factory=list)

    @property
    def draw(self) -> random.Random:
        return self.schedule.draw

    def files(self, branch: str = "") -> dict[bytes, bytes]:
        """Few different ones, so that some are garbage again and again; some are cut into chunks. What is
        on `main`, which keeps all for ever, is its own."""
        names = self.draw.sample(range(3), self.draw.randrange(1, 3))
        first = 100 if branch == "main" else 0
        return {b"f%d" % name: _content(first + self.draw.randrange(4)) for name in names}


def _content(number: int) -> bytes:
    if number % 4 < 2:
        return random.Random(number).randbytes(60)
    return random.Random(number // 4).randbytes(1500) + random.Random(number).randbytes(600)


Act = Callable[[World, Repository, Dataset], None]


def work(world: World, acts: list[Act], user: User) -> None:
    for act in acts:
        try:
            act(world, user.repository, world.draw.choice(world.datasets))
        except KamldError as error:
            asleep = error.code in (*GONE, "slept") and user.slept
            if error.code not in EXPECTED and not asleep:
                world.failures.append(error)
                raise


def commits(world: World, hub: Repository, dataset: Dataset) -> None:
    branch = world.draw.choice(("main", "try", "try", "try"))
    ref = hub.refs.find(dataset, branch)
    base = ref.commit if ref else None
    files = world.files(branch)
    with hub.writer() as writer:
        entries = put(writer, files)
        if world.draw.random() < 0.3:
            writer.flush()
        pause(world, hub, 30)
        version = hub.write_version(
            writer, entries, parents=(base,) if base else (), author=AUTHOR, message=world.draw.choice("abc")
        )
        world.contents[version.commit_id] = files
    if world.draw.random() < 0.1:
        return  # given up
    pause(world, hub, 30)
    landed = hub.land_version(dataset, branch, version, author=AUTHOR).landed
    if branch == "main" and landed.branch == "main":
        world.landed.add(version.commit_id)


def amends(world: World, hub: Repository, dataset: Dataset) -> None:
    ref = hub.refs.find(dataset, "try")
    if ref is None or ref.commit is None:
        return
    files = world.files()
    with hub.writer() as writer:
        parents = hub.commit(ref.commit).parents
        entries = put(writer, files)
        version = hub.write_version(writer, entries, parents=parents, author=AUTHOR, message="amended")
        world.contents[version.commit_id] = files
    hub.land_on(dataset, "try", version, expected=ref.commit, author=AUTHOR, amends=True)


def undoes(_: World, hub: Repository, dataset: Dataset) -> None:
    ref = hub.refs.find(dataset, "try")
    moves = list(hub.refs.history(dataset, "try"))
    if ref and len(moves) > 1:
        with hub.kept(dataset, moves[1].commit):
            hub.refs.move(
                dataset, "try", "branch", moves[1].commit, expected=moves[0].commit, after=moves[0],
                author=AUTHOR, reason="undo",
            )  # fmt: skip


def tags(world: World, hub: Repository, dataset: Dataset) -> None:
    """An old commit, which may be garbage by now."""
    if commit := _some_old_commit(world, hub, dataset):
        hub.set_ref(dataset, f"t{world.draw.randrange(2)}", "alias", commit, author=AUTHOR, known=True)


def removes(world: World, hub: Repository, dataset: Dataset) -> None:
    name = world.draw.choice(("try", "try", "t0", "t1", "part0", "part1"))
    ref = hub.refs.find(dataset, name)
    if ref and ref.commit:
        hub.refs.move(dataset, name, ref.kind, None, expected=ref.commit, author=AUTHOR, reason="removed")


def removes_all(_: World, hub: Repository, __: Dataset) -> None:
    other = hub.names.get(Name("p", "other"))
    hub.names.remove(other, author=AUTHOR)


def brings_back(_: World, hub: Repository, __: Dataset) -> None:
    removed = hub.names.removed_from(Name("p", "other"))
    if removed:
        hub.names.restore(removed)


def splits_off(world: World, hub: Repository, dataset: Dataset) -> None:
    """A version with some files of another, of which none is put."""
    source = _some_old_commit(world, hub, dataset)
    if source is None:
        return
    try:
        entries = hub.tree(hub.commit(source)).entries()
    except KamldError as error:
        if error.code in GONE:
            return  # it was garbage, and is gone
        raise
    pause(world, hub, 30)
    some = [row for row in range(len(entries)) if world.draw.random() < 0.7]
    files = {entries.paths[row]: world.contents[source][entries.paths[row]] for row in some}
    try:
        with hub.writer() as writer:
            version = hub.write_version(writer, entries.take(some), parents=(), author=AUTHOR, message="part")
            world.contents[version.commit_id] = files
        hub.land_version(dataset, f"part{world.draw.randrange(2)}", version, author=AUTHOR)
    except KamldError as error:
        if error.code != "missing_object" or "collected as garbage" not in error.message:
            raise


def runs(world: World, hub: Repository, _: Dataset) -> None:
    """Keeps code at its start, and names it at its end, long after."""
    with hub.writer() as writer:
        tree = write_tree(writer, put(writer, world.files()))
        writer.flush()
        pinned = hub.leases.begin("run", trees=(tree.hex(),))
        writer.check_awake()
    pause(world, hub, 60)
    if pinned.lost:
        return  # a machine that sleeps in the middle of a run may lose its code
    run_id = f"{world.draw.randrange(2**128):032x}"
    code = Code(folder="/", tree=tree.hex())
    hub.sealed.seal_run(
        Run(
            id=run_id,
            project="p",
            number=1,
            name="r",
            state="succeeded",
            command=(),
            author=AUTHOR,
            started=clock.now(),
            ended=clock.now(),
            code=code,
        )
    )
    hub.leases.end(pinned)


def reads(world: World, hub: Repository, dataset: Dataset) -> None:
    """Without a lease: what it found named stays for the minimum age at least."""
    began = world.schedule.now
    for ref in hub.live_refs(dataset):
        commit = ref.commit or ""
        try:
            found = files_of(hub, commit)
        except KamldError:
            now = hub.refs.find(dataset, ref.name)
            if world.schedule.now - began < world.age or (now and now.last == ref.last):
                raise
            return
        assert found == world.contents.get(commit, found)


def collects(world: World, hub: Repository, _: Dataset) -> None:
    """Until the others have ended."""
    while any(not user.work.dead and not user.gone for user in world.schedule.users if "user" in user.name):
        try:
            collect(hub, world.draw.choice((0, 0, 0, 1)), world.age)
        except Conflict:
            pass
        except KamldError as error:  # a ref is about to be taken back that was set after a long sleep
            if error.code not in GONE or not any(user.slept for user in world.schedule.users):
                raise
        pause(world, hub, 20)


def pause(world: World, hub: Repository, most: int) -> None:
    for _ in range(world.draw.randrange(most)):
        hub.blobs.flush()


def _some_old_commit(world: World, hub: Repository, dataset: Dataset) -> str | None:
    refs = hub.refs.ever(dataset)
    if not refs:
        return None
    moves = list(hub.refs.history(dataset, world.draw.choice(refs).name))
    there = [m.commit for m in moves if m.commit and m.commit in world.contents]
    return world.draw.choice(there) if there else None


ACTS: list[Act] = [
    commits, commits, commits, commits, amends, undoes, tags, removes, removes, removes, removes_all,
    brings_back, splits_off, runs, reads,
]  # fmt: skip


def play(seed: int, monkeypatch: pytest.MonkeyPatch) -> World:
    schedule = Schedule(seed)
    with simulated(schedule, monkeypatch):
        first = opened(schedule)
        datasets = [first.create(Name("p", name), "dataset") for name in ("d", "other")]
        world = World(schedule, datasets, timedelta(minutes=schedule.draw.choice((0, 0, 10, 60))))
        for dataset in datasets:
            with first.writer() as writer:
                files = world.files("main")
                entries = put(writer, files)
                version = first.write_version(writer, entries, parents=(), author=AUTHOR, message="1")
                world.contents[version.commit_id] = files
            first.land_version(dataset, "main", version, author=AUTHOR)
        for number in range(schedule.draw.randrange(2, 4)):
            acts = schedule.draw.choices(ACTS, k=4)
            schedule.add(f"user {number}", lambda user, acts=acts: work(world, acts, user))
        for number in range(schedule.draw.randrange(1, 3)):
            schedule.add(f"collector {number}", lambda user: work(world, [collects], user), 12)
        schedule.run()
        if world.failures:
            raise world.failures[0]
        check(world)
    return world


def check(world: World) -> None:
    """All that is named is whole, and as it was written; nothing else is left."""
    schedule = world.schedule
    _check_named(world, opened(schedule))
    for _ in range(4):
        schedule.now += timedelta(days=1)
        collect(opened(schedule), 0, HOUR)
    hub = opened(schedule)
    _check_named(world, hub)
    assert look(hub, 0, HOUR).bytes == 0
    for listed in list(hub.blobs.list("index/")):
        hub.blobs.delete(listed.key)
    again = opened(schedule)
    again.rebuild_index()
    _check_named(world, again)


def _check_named(world: World, hub: Repository) -> None:
    reached: set[str] = set()
    for dataset in hub.names.all():
        for ref in hub.live_refs(dataset):
            for identifier, _ in hub.log(ref.commit or ""):
                reached.add(identifier)
        if dataset == world.datasets[0]:
            main = hub.refs.find(dataset, "main")
            assert main is not None
    for identifier in reached:
        found = files_of(hub, identifier)
        assert found == world.contents.get(identifier, found)
    assert {c for c in world.landed if c not in reached} <= _of_removed(world, hub)
    for run_id in hub.sealed.run_ids():
        code = hub.sealed.run(run_id).code
        assert code is not None
        for row in Tree(hub.objects, bytes.fromhex(code.tree)).entries().rows():
            hub.objects.read(row.id)


def _of_removed(world: World, hub: Repository) -> set[str]:
    """What was landed in a dataset that is gone now."""
    there = {dataset.id for dataset in hub.names.all()}
    return set() if all(dataset.id in there for dataset in world.datasets) else set(world.landed)


def test_schedules(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    count = SEEDS_LONG if request.config.getoption("--long") else SEEDS
    for seed in range(count):
        try:
            world = play(seed, monkeypatch)
        except BaseException as error:
            error.add_note(f"schedule {seed}")
            raise
        tried(1, "schedules of gc beside users")
        tried(world.schedule.steps, "steps in them")


def _no_second_marking(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(collecting, "copy_out", lambda *_: 0)


def _leases_are_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    waiting = collecting._waiting
    patch.setattr(collecting, "_waiting", lambda hub: msgspec.structs.replace(waiting(hub), waits_for=()))


def _writers_rely_on_what_is_condemned(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(repositories, "condemned", lambda _: (Condemned(), None))


def _a_lost_lease_does_not_matter(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Held, "lost", property(lambda _: False))


@pytest.mark.long
@pytest.mark.parametrize(
    "broken",
    [
        _no_second_marking, _leases_are_not_waited_for, _writers_rely_on_what_is_condemned,
         _a_lost_lease_does_not_matter,
    ],
)  # fmt: skip
def test_what_is_broken_is_found(
    broken: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        broken(patch)
        with pytest.raises((KamldError, AssertionError)):
            _play_all(1000, monkeypatch)


def _play_all(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(count):
        play(seed, monkeypatch)
