"""The line by which commands ask a mount what was changed in it, and have it wait while they commit that.

Whatever becomes of who asked: when their line ends, the mount looks what its folder is bound to now, and
goes on from there.
"""

import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Protocol

from kamld.errors import KamldError
from kamld.workspace.mounted import Answer, Ask, Changed, reachable, receive, send

log = logging.getLogger("kamld.mount")


class Served(Protocol):
    """What is asked. Each may raise KamldError and OSError."""

    def differences(self, *, by_content: bool) -> tuple[list[Changed], str]: ...
    def hold(self) -> None: ...
    def go_on(self) -> None:
        """End what `hold` began."""


class Control:
    def __init__(self, place: Path, served: Served | None) -> None:
        """`served` None: nothing can be changed. Raises OSError."""
        self._served = served
        self._socket = socket.socket(socket.AF_UNIX)
        with reachable(place) as near:
            Path(near).unlink(missing_ok=True)
            self._socket.bind(near)
        os.chmod(place / "control", 0o600)
        self._socket.listen(16)
        Thread(target=self._accept, daemon=True, name="mount-control").start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            Thread(target=self._talk, args=(line,), daemon=True, name="mount-line").start()

    def _talk(self, line: socket.socket) -> None:
        holds = False
        try:
            while (question := receive(line, Ask)) is not None:
                if question.what == "freeze" and self._served and not holds:
                    self._served.hold()
                    holds = True
                if question.what == "done" and holds:
                    holds = False
                    send(line, self._tried(self._go_on))
                    continue
                send(line, self._tried(partial(self._changes, question.what)))
        except OSError:
            pass  # they have gone
        finally:
            if holds:
                answer = self._tried(self._go_on)
                if answer.trouble:
                    log.error("%s", answer.trouble)
            line.close()

    def _changes(self, what: str) -> Answer:
        if self._served is None:
            return Answer() if what == "status" else Answer("read_only")
        changes, base = self._served.differences(by_content=what == "status")
        return Answer("", tuple(changes), base)

    def _go_on(self) -> Answer:
        if self._served:
            self._served.go_on()
        return Answer()

    @staticmethod
    def _tried(answer: Callable[[], Answer]) -> Answer:
        try:
            return answer()
        except (KamldError, OSError) as error:
            return Answer(str(error))
        except Exception as error:
            log.exception("a question failed")
            return Answer(f"This is a fault in kamld itself: {error!r}")
