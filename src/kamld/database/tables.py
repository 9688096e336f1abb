"""The catalog's tables. Each row follows from the store alone, so a catalog made anew is equal to
one that was kept up to date: no numbers, times or orders of its own.

Ids are hex as in records. A table changes only together with `VERSION`.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

from kamld.database.engine import about_table

VERSION = 2

metadata = MetaData()
about = about_table(metadata)

datasets = Table(
    "datasets", metadata,
    Column("id", String(32), primary_key=True),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("created", String(32), nullable=False),
    Index("datasets_by_name", "project", "name"),
)  # fmt: skip

refs = Table(
    "refs", metadata,
    Column("dataset_id", ForeignKey("datasets.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("commit_id", String(64)),  # null: the ref was removed
    Column("seq", Integer, nullable=False),  # of its last move
    Column("moved", String(32), nullable=False),
    Column("write_id", String(32), nullable=False),  # of its last move
)  # fmt: skip

moves = Table(
    "moves", metadata,
    Column("dataset_id", ForeignKey("datasets.id"), primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("time", String(32), nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("commit_id", String(64)),
    Column("version", Integer),
)  # fmt: skip

# Every commit that any move of any ref ever reached.
commits = Table(
    "commits", metadata,
    Column("id", String(64), primary_key=True),
    Column("tree", String(64), nullable=False),
    Column("time", String(32), nullable=False),
    Column("author", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("run_id", String(32)),
    Column("origin_dataset_id", String(32)),
    Column("origin_commit_id", String(64)),
    Column("entries", BigInteger, nullable=False),  # files, links and empty folders
    Column("bytes", BigInteger, nullable=False),
)  # fmt: skip

commit_parents = Table(
    "commit_parents", metadata,
    Column("commit_id", ForeignKey("commits.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("parent_id", String(64), nullable=False),
    Index("commit_children", "parent_id"),
)  # fmt: skip

dataset_commits = Table(
    "dataset_commits", metadata,
    Column("dataset_id", ForeignKey("datasets.id"), primary_key=True),
    Column("commit_id", ForeignKey("commits.id"), primary_key=True),
    Index("commit_datasets", "commit_id"),
)  # fmt: skip

runs = Table(
    "runs", metadata,
    Column("id", String(32), primary_key=True),
    Column("project", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("started", String(32), nullable=False),
    Column("ended", String(32), nullable=False),
    Column("record", Text, nullable=False),  # the sealed record itself, canonical JSON
    Index("runs_by_number", "project", "number"),
)  # fmt: skip

run_params = Table(
    "run_params", metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),  # JSON, so that 1, 1.0, "1" and true stay apart
    Column("number", Double),  # where it is one
)  # fmt: skip

run_metrics = Table(
    "run_metrics", metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Double),  # null: not a number
)  # fmt: skip

run_inputs = Table(
    "run_inputs", metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("label", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("commit_id", String(64), nullable=False),
    Index("input_commits", "commit_id"),
)  # fmt: skip

run_outputs = Table(
    "run_outputs", metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("label", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("commit_id", String(64), nullable=False),
    Index("output_commits", "commit_id"),
)  # fmt: skip

deployment_events = Table(
    "deployment_events", metadata,
    Column("key", String(8), primary_key=True),
    Column("project", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("time", String(32), nullable=False),
    Column("author", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("why", Text, nullable=False),
    Index("events_by_endpoint", "project", "endpoint", "seq"),
)  # fmt: skip

event_versions = Table(
    "event_versions", metadata,
    Column("event_key", ForeignKey("deployment_events.key"), primary_key=True),
    Column("slot", Integer, primary_key=True),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("commit_id", String(64), nullable=False),
    Column("weight", Integer, nullable=False),
    Index("deployed_commits", "commit_id"),
)  # fmt: skip
