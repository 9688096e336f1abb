"""Settings: read once, by a door, from a TOML file and `KAMLD_*` variables, then frozen.

A variable wins over a file, and the nearest `kamld.toml` (this folder or one above it) over the
person's own `~/.config/kamld/kamld.toml`. Each field's name is its key in the file; its variable
is `KAMLD_` and the name in capitals. Rooms are handed the values they need, never this module's
reader.
"""

import os.path
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from kamld.errors import Invalid, SystemFault

FILE_NAME = "kamld.toml"
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://")
_OF_RUNS = ("KAMLD_INPUT_", "KAMLD_OUTPUT_", "KAMLD_PARAM_", "KAMLD_RUN_")  # what a run's command is given
_WHOLE = re.compile(r"-?[0-9]{1,18}")


def _setting(default: Any, about: str, at_least: int = 0, at_most: int = 2**31) -> Any:
    return field(default=default, metadata={"about": about, "at_least": at_least, "at_most": at_most})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its default; `about` is its line in docs/settings.md."""

    hub: str = _setting("", "Folder of the hub. Default: kamld/hub in your data directory.")
    project: str = _setting("default", "Project of names written without one.")
    author: str = _setting("", 'Who commits, as "Name <mail>". Default: Git\'s user.name, else login.')
    threads: int = _setting(0, "Threads that read, hash and compress. 0: one a core, at most 8.", at_most=256)
    cache_gb: int = _setting(20, "Largest size of the cache of checked-out run inputs, in GB.")
    keep_days: int = _setting(
        30, "Days for which what was removed, undone or moved away can be had back.", at_most=36500
    )
    host: str = _setting("127.0.0.1", "Address that the serving process listens on.")
    port: int = _setting(
        0,
        "Port of the serving process. 0: 8787, or the next one that is free. Set: that one or an error.",
        at_most=65535,
    )
    request_mb: int = _setting(64, "Largest prediction request that is accepted, in MB.", 1)
    log_outputs: bool = _setting(
        True, "Keep a short summary of each answer (at most 200 characters) in the prediction log."
    )


def read(environment: Mapping[str, str], folder: Path) -> Settings:
    """The settings for a command started in `folder` with these variables.

    Raises Invalid for an unknown key or a value that is of the wrong type or out of its bounds,
    naming file or variable.
    """
    home = _home(environment)
    values: dict[str, Any] = {}
    for path in _files(environment, folder, home):
        values.update(_from_file(path, home))
    values.update(_from_variables(environment))
    values["hub"] = str(folder / _hub(values.get("hub") or str(default_hub(environment)), home))
    return Settings(**values)


def default_hub(environment: Mapping[str, str]) -> Path:
    """Where the hub is when no setting says otherwise."""
    data = environment.get("XDG_DATA_HOME") or _home(environment) / ".local" / "share"
    return Path(data, "kamld", "hub")


def _home(environment: Mapping[str, str]) -> Path:
    """The variable if it is set, else what the system has for this person, else nowhere."""
    try:
        return Path(environment["HOME"]) if environment.get("HOME") else Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def _expanded(path: str, home: Path) -> Path:
    return home / path[2:] if path == "~" or path.startswith("~/") else Path(path)


def _hub(place: str, home: Path) -> Path:
    """The folder; an address is refused before it becomes an odd folder name."""
    if _ADDRESS.match(place):
        raise Invalid("unsupported_hub", f"{place} is no folder, and only a folder can be a hub so far.")
    return _expanded(place, home)


def _files(environment: Mapping[str, str], folder: Path, home: Path) -> list[Path]:
    """Those that exist; the one that wins comes last."""
    own = Path(environment.get("XDG_CONFIG_HOME") or home / ".config", "kamld", FILE_NAME)
    around = [place / FILE_NAME for place in (folder, *folder.parents)]
    nearest = next((path for path in around if os.path.isfile(path)), None)
    return ([own] if os.path.isfile(own) else []) + ([nearest] if nearest else [])


def _from_file(path: Path, home: Path) -> dict[str, Any]:
    try:
        read_values = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid("bad_settings", f"{path} is not valid TOML: {error}.", "Correct that line.") from None
    except OSError as error:
        raise SystemFault("unreadable_settings", f"Cannot read {path}: {error.strerror}.") from None
    kinds = get_type_hints(Settings)
    for key, value in read_values.items():
        if key not in kinds:
            known = ", ".join(sorted(kinds))
            raise Invalid("bad_settings", f'{path} has an unknown setting "{key}".', f"Known: {known}.")
        if type(value) is not kinds[key]:
            raise _wrong(f'In {path}, "{key}"', kinds[key])
        _check_bounds(f'In {path}, "{key}"', key, value)
    if read_values.get("hub"):
        read_values["hub"] = str(path.parent / _hub(read_values["hub"], home))
    return read_values


def _from_variables(environment: Mapping[str, str]) -> dict[str, Any]:
    kinds = get_type_hints(Settings)
    _check_known(environment, [f"KAMLD_{name.upper()}" for name in kinds])
    values: dict[str, Any] = {}
    for name, kind in kinds.items():
        variable = f"KAMLD_{name.upper()}"
        text = environment.get(variable)
        if text:
            values[name] = _parsed(f"{variable}={text}", text, kind)
            _check_bounds(f"{variable}={text}", name, values[name])
    return values


def _check_known(environment: Mapping[str, str], known: list[str]) -> None:
    for name, text in environment.items():
        if not text or not name.startswith("KAMLD_") or name in known or name.startswith(_OF_RUNS):
            continue
        from difflib import get_close_matches  # 4 ms that only a mistake costs

        near = get_close_matches(name, known, 1)
        advice = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(sorted(known))}."
        raise Invalid("bad_settings", f"The variable {name} is no setting.", f"{advice} Or: unset {name}")


def _parsed(where: str, text: str, kind: type) -> Any:
    if kind is bool and text.lower() in ("1", "true", "yes", "0", "false", "no"):
        return text.lower() in ("1", "true", "yes")
    if kind is int and _WHOLE.fullmatch(text):
        return int(text)
    if kind is str:
        return text
    raise _wrong(where, kind)


def _check_bounds(where: str, name: str, value: Any) -> None:
    bounds = next(setting for setting in fields(Settings) if setting.name == name).metadata
    if type(value) is int and not bounds["at_least"] <= value <= bounds["at_most"]:
        raise Invalid("bad_settings", f"{where} must be {bounds['at_least']} to {bounds['at_most']}.")


def _wrong(where: str, kind: type) -> Invalid:
    kinds = {bool: "true or false", int: "a whole number", str: "a text"}
    return Invalid("bad_settings", f"{where} must be {kinds[kind]}.")
