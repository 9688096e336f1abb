"""Settings: read once, by a door, from a TOML file and `KAMLD_*` variables, then frozen.

A variable wins over a file, and the nearest `kamld.toml` (this folder or one above it) over the
person's own `~/.config/kamld/kamld.toml`. Each field's name is its key in the file; its variable
is `KAMLD_` and the name in capitals. Rooms are handed the values they need, never this module's
reader.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from kamld.errors import Invalid, SystemFault

FILE_NAME = "kamld.toml"


def _setting(default: Any, about: str) -> Any:
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its default; `about` is its line in docs/settings.md."""

    hub: str = _setting("", "Folder of the hub. Default: kamld/hub in your data directory.")
    project: str = _setting("default", "Project of names written without one.")
    author: str = _setting(
        "", 'Who commits, as "Name <mail>". Default: Git\'s user.name, else login.'
    )
    threads: int = _setting(0, "Threads that read, hash and compress. 0: one a core, at most 8.")
    memory_mb: int = _setting(256, "Memory for data on its way through a command, in MB.")
    cache_gb: int = _setting(20, "Largest size of the cache of checked-out run inputs, in GB.")
    host: str = _setting("127.0.0.1", "Address that the serving process listens on.")
    port: int = _setting(
        0,
        "Port of the serving process. 0: 8787, or the next one that is free. Set: that one or an error.",
    )
    request_mb: int = _setting(64, "Largest prediction request that is accepted, in MB.")
    log_outputs: bool = _setting(
        True, "Keep a short summary of each answer (at most 200 characters) in the prediction log."
    )


def read(environment: Mapping[str, str], folder: Path) -> Settings:
    """The settings for a command started in `folder` with these variables.

    Raises Invalid for an unknown key or a value of the wrong type, naming file or variable.
    """
    values: dict[str, Any] = {}
    for path in _files(environment, folder):
        values.update(_from_file(path))
    values.update(_from_variables(environment))
    if not values.get("hub"):
        values["hub"] = str(_data_directory(environment) / "kamld" / "hub")
    values["hub"] = str(Path(folder, Path(values["hub"]).expanduser()))
    return Settings(**values)


def _files(environment: Mapping[str, str], folder: Path) -> list[Path]:
    home_config = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    candidates = [Path(home_config, "kamld", FILE_NAME)]
    nearest = next(
        (d / FILE_NAME for d in (folder, *folder.parents) if (d / FILE_NAME).is_file()), None
    )
    if nearest:
        candidates.append(nearest)
    return [path for path in candidates if path.is_file()]


def _data_directory(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        read_values = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(
            "bad_settings", f"{path} is not valid TOML: {error}.", "Correct that line."
        ) from None
    except OSError as error:
        raise SystemFault("unreadable_settings", f"Cannot read {path}: {error.strerror}.") from None
    kinds = get_type_hints(Settings)
    for key, value in read_values.items():
        if key not in kinds:
            known = ", ".join(sorted(kinds))
            raise Invalid(
                "bad_settings", f'{path} has an unknown setting "{key}".', f"Known: {known}."
            )
        if type(value) is not kinds[key]:
            raise Invalid("bad_settings", f'In {path}, "{key}" must be {_kind_name(kinds[key])}.')
    if read_values.get("hub"):
        read_values["hub"] = str(path.parent / Path(read_values["hub"]).expanduser())
    return read_values


def _from_variables(environment: Mapping[str, str]) -> dict[str, Any]:
    kinds = get_type_hints(Settings)
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        variable = f"KAMLD_{setting.name.upper()}"
        text = environment.get(variable)
        if text:
            values[setting.name] = _parsed(variable, text, kinds[setting.name])
    return values


def _parsed(variable: str, text: str, kind: type) -> Any:
    if kind is bool and text.lower() in ("1", "true", "yes", "0", "false", "no"):
        return text.lower() in ("1", "true", "yes")
    if kind is int and text.lstrip("-").isdigit():
        return int(text)
    if kind is str:
        return text
    raise Invalid("bad_settings", f'{variable}="{text}" must be {_kind_name(kind)}.')


def _kind_name(kind: type) -> str:
    return {bool: "true or false", int: "a whole number", str: "a text"}[kind]
