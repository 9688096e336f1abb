"""What a folder says about itself: an MLflow model, a Hugging Face dataset.

Only read, never believed further than to be shown: it goes into a commit's metadata as it is.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from kamld.errors import Invalid

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # ten times faster, where it was built
_LARGEST = 4 * 1024 * 1024  # bytes of a description that are read


def yaml_of(text: str, where: str) -> Any:
    """YAML with texts for all values, and no references, which are how a small file becomes a huge one.
    Raises Invalid (bad_description)."""
    try:
        if any(isinstance(event, yaml.events.AliasEvent) for event in yaml.parse(text, _LOADER)):
            raise yaml.YAMLError("it has references")
        return yaml.load(text, _LOADER)  # noqa: S506 - BaseLoader makes texts alone
    except (yaml.YAMLError, RecursionError) as error:
        raise Invalid("bad_description", f"{where} is not YAML: {error}.", "Correct it.") from None


def describe(folder: Path) -> tuple[str, dict[str, Any]]:
    """(what the folder is: mlflow, huggingface or folder; metadata)."""
    if (folder / "MLmodel").is_file():
        return "mlflow", {"mlflow": _mlflow(folder / "MLmodel")}
    about: dict[str, Any] = {}
    if (folder / "dataset_dict.json").is_file():
        splits = _json(folder / "dataset_dict.json").get("splits") or []
        about = {"splits": splits}
        for split in splits[:1]:
            about |= _hugging_face(folder / str(split) / "dataset_info.json")
        return "huggingface", {"huggingface": about}
    if (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file():
        return "huggingface", {"huggingface": _hugging_face(folder / "dataset_info.json")}
    card = _card(folder / "README.md")
    if card:
        return "huggingface", {"huggingface": card}
    return "folder", {}


def _mlflow(path: Path) -> dict[str, Any]:
    said = yaml_of(_text(path), str(path))
    if not isinstance(said, dict):
        raise Invalid("bad_description", f"{path} describes no model.", "Look at it.")
    kept = ("run_id", "model_uuid", "model_id", "mlflow_version", "utc_time_created", "flavors", "signature")
    about = {key: said[key] for key in kept if said.get(key)}
    signature = about.get("signature")
    if isinstance(signature, dict):
        about["signature"] = {key: _json_text(value) for key, value in signature.items()}
    return about


def _hugging_face(path: Path) -> dict[str, Any]:
    said = _json(path) if path.is_file() else {}
    kept = ("description", "license", "citation", "homepage", "features", "version", "dataset_name")
    return {key: said[key] for key in kept if said.get(key)}


def _card(path: Path) -> dict[str, Any]:
    """The head of a hub's README.md, where it is one of a dataset."""
    text = _text(path) if path.is_file() else ""
    head, end, _ = text.removeprefix("---\n").partition("\n---")
    if not text.startswith("---\n") or not end:
        return {}
    said = yaml_of(head, str(path))
    known = {"license", "dataset_info", "configs", "task_categories", "pretty_name"}
    if not isinstance(said, dict) or not known & set(said):
        return {}
    return {key: value for key, value in said.items() if key in known | {"language", "tags"}}


def _json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise Invalid("bad_description", f"{path} is not JSON: {error}.", "Correct it.") from None
    return said if isinstance(said, dict) else {}


def _json_text(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return value


def _text(path: Path) -> str:
    with open(path, "rb") as file:
        return file.read(_LARGEST).decode("utf-8", "replace")
