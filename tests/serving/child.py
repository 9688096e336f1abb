"""The supervisor, or with --listener the server, of a hub that is a folder of JSON files."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from kamld.errors import Invalid
from kamld.records.deployment import DeploymentEvent, ServedVersion


def main() -> int:
    hub = Path(sys.argv[1])
    options = dict(word.lstrip("-").split("=") for word in sys.argv[2:])
    settings = msgspec.json.decode((hub / "settings.json").read_bytes())
    if "listener" not in options:
        from kamld.serving.supervisor import supervise

        return supervise(
            hub / "serving",
            host=settings.get("host", "127.0.0.1"),
            port=settings.get("port", 0),
            command=[sys.executable, __file__, str(hub)],
        )
    if settings.get("crash"):
        raise SystemExit("the server cannot even start")
    from kamld.serving.server import Options, run

    def events() -> Iterable[DeploymentEvent]:
        path = hub / "events.json"
        return msgspec.json.decode(path.read_bytes(), type=list[DeploymentEvent]) if path.exists() else []

    @contextmanager
    def model_folder(version: ServedVersion) -> Iterator[Path]:
        time.sleep(settings.get("loading_s", 0))
        folder = hub / version.commit
        if not folder.exists():
            raise Invalid("lost_model", f"{version.name} {version.version} is lost.")
        yield folder.resolve()

    return run(
        folder=hub / "serving",
        predictions=hub / "predictions",
        listener=int(options["listener"]),
        lifeline=int(options["lifeline"]),
        events=events,
        model_folder=model_folder,
        options=Options(
            request_mb=settings.get("request_mb", 64), log_outputs=settings.get("log_outputs", True)
        ),
        version="0.1.0",
    )


if __name__ == "__main__":
    sys.exit(main())
