"""ONNX models on onnxruntime's CPU provider. Loading one runs no code from inside it.

Tensors kept beside the model file (external data) are read only from that file's own folder;
onnxruntime refuses the rest, symbolic links out of it included, and the tests hold it to that.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

# From 1.29 on its official builds report models and hardware to Microsoft unless this is set
# before they are loaded. We never phone home, and neither does what we load.
os.putenv("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from kamld.errors import Invalid, SystemFault
from kamld.serving.interface import TensorSpec
from kamld.serving.oip.tensors import Array

PLATFORM = "onnxruntime_onnx"
CLASSES_KEY = "classes"  # in metadata_props: a JSON list of texts, one a class
_TYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_ERRORS_ONLY = 3  # onnxruntime's log level


def servable_file(paths: Sequence[str], what: str) -> str:
    """Which of a model's files is served: `model.onnx`, else the only one that ends in .onnx.

    `what` names the model in the error. Raises Invalid (no_servable_model, which_model_file).
    """
    found = sorted(path for path in paths if path.lower().endswith(".onnx"))
    if "model.onnx" in found:
        return "model.onnx"
    if len(found) == 1:
        return found[0]
    if found:
        raise Invalid(
            "which_model_file",
            f"{what} has {len(found)} ONNX files: {_some(found)}.",
            "Name the one to serve model.onnx, or keep one a model.",
        )
    there = f"It has {_some(sorted(paths))}." if paths else "It is empty."
    raise Invalid(
        "no_servable_model",
        f"{what} has no ONNX file. {there}",
        "Served today: ONNX (.onnx). Export the model, as with skl2onnx or torch.onnx, and commit.",
    )


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 5:,} more" if len(paths) > 5 else ""
    return ", ".join(paths[:5]) + more


class OnnxModel:
    """A loaded model; `run` may be called from several threads at once."""

    def __init__(self, folder: Path, what: str, *, threads: int = 0) -> None:
        """Load the model in `folder`; `what` names it in errors. `threads` 0: one a core.

        Raises Invalid when there is none, it is damaged, or it has inputs or outputs that the
        protocol cannot carry.
        """
        files = [str(p.relative_to(folder).as_posix()) for p in folder.rglob("*") if p.is_file()]
        file = servable_file(files, what)
        self._session = _load(folder / PurePosixPath(file), f"{what}, {file}", threads)
        self.inputs = tuple(_spec(i, "input", what) for i in self._session.get_inputs())
        self.outputs = tuple(_spec(o, "output", what) for o in self._session.get_outputs())
        self.classes = _classes(self._session.get_modelmeta().custom_metadata_map)

    def run(self, tensors: Mapping[str, Array], outputs: Sequence[TensorSpec]) -> list[Array]:
        """The named outputs for `tensors`, which fit `inputs`.

        Raises Invalid when the model cannot work on these values, SystemFault when it fails.
        """
        try:
            result: list[Array] = self._session.run([spec.name for spec in outputs], tensors)
        except _REFUSED as error:
            raise Invalid(
                "model_refused", f"The model cannot work on this input: {_reason(error)}."
            ) from None
        except _FAILED as error:
            raise SystemFault("model_failed", f"The model failed: {_reason(error)}.") from None
        return result


_native: Any = onnxruntime.capi.onnxruntime_pybind11_state
_REFUSED = (_native.InvalidArgument,)
_FAILED = (
    _native.Fail,
    _native.RuntimeException,
    _native.EPFail,
    _native.EngineError,
    _native.NotImplemented,
    RuntimeError,
    MemoryError,
)


def _load(file: Path, what: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # cores are shared
    try:
        return onnxruntime.InferenceSession(
            str(file), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except (*_FAILED, *_REFUSED, _native.InvalidProtobuf, _native.InvalidGraph) as error:
        raise _unloadable(what, _reason(error)) from None
    except (_native.NoSuchFile, _native.NotFound, OSError) as error:
        raise SystemFault("unreadable_model", f"Cannot read {what}: {_reason(error)}.") from None


def _unloadable(what: str, reason: str) -> Invalid:
    if "external data" in reason.lower():
        return Invalid(
            "bad_external_data",
            f"{what} cannot be loaded: {reason}.",
            "Keep its external data beside it in the same folder, or inside the file.",
        )
    return Invalid(
        "damaged_model",
        f"{what} cannot be loaded: {reason}.",
        "Export it again and check it with onnx.checker.check_model.",
    )


def _reason(error: BaseException) -> str:
    """onnxruntime's sentence without its codes ("[ONNXRuntimeError] : 7 : NAME : …")."""
    first = str(error).split("\n", 1)[0]
    return first.rsplit(" : ", 1)[-1].strip().rstrip(".")[:300] or type(error).__name__


def _spec(argument: Any, role: str, what: str) -> TensorSpec:
    datatype = _TYPES.get(argument.type)
    if datatype is None:
        maps = argument.type.startswith(("seq", "map"))
        raise Invalid(
            "unsupported_output" if role == "output" else "unsupported_input",
            f'{what} has an {role} "{argument.name}" of type {argument.type}, not a plain tensor.',
            "Export without ZipMap: skl2onnx.to_onnx(model, x, options={'zipmap': False})."
            if maps
            else f"Supported: {', '.join(sorted(_TYPES.values()))}.",
        )
    shape = tuple(size if isinstance(size, int) else -1 for size in argument.shape)
    return TensorSpec(argument.name, datatype, shape)


def _classes(properties: Mapping[str, str]) -> tuple[str, ...]:
    """Class names, if the model has them in a form that can be used; it serves without them too."""
    try:
        listed = json.loads(properties.get(CLASSES_KEY, "[]"))
    except ValueError:
        return ()
    return tuple(str(name) for name in listed) if isinstance(listed, list) else ()
