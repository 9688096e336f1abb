"""What every verb starts from: the settings, read once here, and the rooms wired to them."""

from collections.abc import Callable, Mapping
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from kamld import settings
from kamld.app import App

Verb = TypeVar("Verb", bound=Callable[..., Any])


class Door:
    """Made for each command; opens nothing before it is asked to."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    @cached_property
    def app(self) -> App:
        folder = Path.cwd()
        return App(settings.read(self._environment, folder), folder, self._environment)


def pass_door(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb its Door as the first argument."""

    @wraps(verb)
    def called(*arguments: Any, **options: Any) -> Any:
        return verb(Door(click.get_current_context().obj), *arguments, **options)

    return called


def json_option(verb: Verb) -> Verb:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(verb)
