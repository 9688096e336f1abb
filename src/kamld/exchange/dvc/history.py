"""A DVC repository's history as a dataset's: a version for every Git commit that changed what DVC tracks.

First everything is planned and looked for, then read, then it lands in one move; what Git's tags lead to
gets their names. Which commit a version was made from is in its `imported.revision`, so importing again
makes only the versions that are new.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from kamld.errors import Invalid, KamldError
from kamld.exchange.dvc.outputs import Content, Output
from kamld.exchange.dvc.planning import Plan, Step, plan
from kamld.exchange.dvc.project import Project, Revision
from kamld.exchange.dvc.versions import Versions
from kamld.exchange.imported import OTHERWISE, Imported, earlier, is_from, name_taken
from kamld.exchange.items import Source
from kamld.exchange.notes import Notes
from kamld.records.history import Dataset
from kamld.records.names import MAIN, Name
from kamld.store import Committed, Progress, Repository
from kamld.store.commits import is_ancestor
from kamld.store.trees import diff

_NAMED = 5  # missing files that are named


@dataclass(slots=True)
class History:
    project: Project
    repository: Repository
    source: Source
    notes: Notes
    leave_out: bool = False
    remarks: list[str] = field(default_factory=list)

    def bring(
        self, name: Name, *, author: str, model: bool, branch: str, progress: Progress | None
    ) -> Imported:
        """Raises Conflict (name_taken), Invalid (missing_content, damaged_cache, no_history,
        empty_source), SystemFault; nothing has landed then."""
        repository, project = self.repository, self.project
        project.check()
        found = repository.names.find(name)
        dataset = found if found and repository.is_made(found) else None
        into = branch or MAIN
        base = earlier(repository, dataset, into, self.source) if dataset else None
        if dataset and base is None and not branch:
            raise name_taken(name, self.source)
        if dataset:
            repository.check_open(dataset, into, OTHERWISE)
        made = self._made(dataset, into) if dataset else {}
        planned = plan(project, made)
        gone = self._look_for(planned.steps)
        with repository.writer() as writer:
            wrote = Versions(
                self.project, self.source.source, repository, writer, self.notes, gone, dict(made), progress
            )
            for step in planned.steps:
                wrote.add(step)
            head = wrote.stands_for(planned, project.head())
            writer.flush()
            self.notes.write()
            if head is None:
                raise Invalid("empty_source", f"{self.source.source} tracks no files.", "Look at dvc list.")
            of = dataset or repository.create(name, "model" if model else "dataset")
            commit, ref = repository.commit(head), repository.refs.find(of, into)
            there = ref.commit if ref else None
            committed = None
            if there is None or not is_ancestor(repository.objects, head, there):
                committed = Committed(head, commit, repository.land(of, into, head, author=author))
            tags = self._tag(of, planned, wrote, author)
        if project.is_shallow:
            self.remarks.append("The Git repository is a shallow clone: what is older is not here.")
        tree = repository.tree(commit)
        if not tree.count:
            self.remarks.append(self._where_it_went(planned.steps))
        before = repository.tree(repository.commit(base)) if base else None
        changes = diff(before, tree) if committed else []
        return Imported(
            of, self.source, dataset is None, base, committed, changes, tree.count, tree.size, wrote.read,
            writer.bytes_added, len(wrote.commits), tags, tuple(self.remarks),
        )  # fmt: skip

    def _made(self, dataset: Dataset, branch: str) -> dict[str, str]:
        """The versions that came from here, by the Git commits they were made from."""
        refs = self.repository.live_refs(dataset)
        starts = {ref.commit for ref in refs if ref.commit and (ref.kind == "tag" or ref.name == branch)}
        made: dict[str, str] = {}
        for start in sorted(starts):
            for identifier, commit in self.repository.log(start):
                if is_from(commit, self.source) and commit.imported:
                    made[commit.imported.revision] = identifier
        return made

    def _where_it_went(self, steps: list[Step]) -> str:
        """For people who find that what they asked for is there no more."""
        now = self.project.elsewhere(self.project.head())
        commits = {step.revision.id for step in steps} | {one for step in steps for one in step.parents}
        had = {out.content for one in commits for out in self.project.outputs(one) if out.content}
        moved = [out.path for out in now if out.content in had]
        where = f"it is {_listed(moved)} there now" if moved else "DVC tracks nothing there any more"
        more = "" if moved or not now else f"; it tracks {_listed([out.path for out in now])}"
        name = self.project.inside or self.source.source
        return f"The newest version has no files: {name} was moved or removed; {where}{more}."

    def _look_for(self, steps: list[Step]) -> set[Content]:
        """Contents that cannot be had, if that was allowed. Raises Invalid (missing_content)."""
        gone: dict[Content, str] = {}
        cannot: dict[str, str] = {}
        seen: set[tuple[str, bool, bool]] = set()
        for step in steps:
            where = f"{step.revision.id[:10]} ({_subject(step.revision)[:40]})"
            for out in step.outputs:
                if out.content is None:
                    cannot.setdefault(f"{out.path}: {out.why}", f"{out.path} of {where}: {out.why}")
                for path, content in self._contents(out, seen):
                    if not self._is_there(content):
                        gone.setdefault(content, f"{path} of {where}")
        missing = [*gone.values(), *cannot.values()]
        if missing and not self.leave_out:
            raise _missing(self.project, missing)
        if missing:
            self.remarks += [f"Left out: {_listed(missing)}."]
        return set(gone)

    def _contents(self, out: Output, seen: set[tuple[str, bool, bool]]) -> Iterator[tuple[str, Content]]:
        """Of an output, those that were not looked at yet."""
        content = out.content
        if content is None or (content.md5, content.folder, content.exact) in seen:
            return
        seen.add((content.md5, content.folder, content.exact))
        yield out.path + "/" * content.folder, content
        if content.folder and self._is_there(content):
            for path, md5 in self.project.cache.folder(content):
                if (md5, False, content.exact) not in seen:
                    seen.add((md5, False, content.exact))
                    yield f"{out.path}/{path}", Content(md5, False, content.exact)

    def _is_there(self, content: Content) -> bool:
        """What is allowed to be absent is also allowed to be damaged, so it is read to know."""
        cache = self.project.cache
        return cache.is_whole(content) if self.leave_out else cache.find(content) is not None

    def _tag(self, dataset: Dataset, planned: Plan, wrote: Versions, author: str) -> tuple[str, ...]:
        given, kept_off = [], []
        for tag, git_commit in self.project.tags().items():
            commit = wrote.stands_for(planned, git_commit)
            there = self.repository.refs.find(dataset, tag) if commit else None
            if commit is None or (there and there.commit == commit and there.kind == "tag"):
                continue
            try:
                self.repository.set_ref(dataset, tag, "tag", commit, author=author, known=True)
                given.append(tag)
            except KamldError as error:
                kept_off.append(f"{tag} ({error.message.rstrip('.')})")
        if kept_off:
            self.remarks.append(f"Tags that did not come: {_listed(kept_off)}.")
        return tuple(given)


def _subject(revision: Revision) -> str:
    return revision.message.partition("\n")[0]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return "; ".join(names[:_NAMED]) + more


def _missing(project: Project, missing: list[str]) -> Invalid:
    count = f"{len(missing):,} contents are" if len(missing) > 1 else "A content is"
    remotes = f" (from {', '.join(project.remotes)})" if project.remotes else ""
    return Invalid(
        "missing_content",
        f"{count} not in DVC's cache: {_listed(missing)}. Nothing was imported.",
        f"Bring all: dvc fetch --all-commits{remotes}. Or leave them out: --leave-out-missing.",
    )
