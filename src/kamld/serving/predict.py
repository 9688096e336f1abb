"""One prediction for a file, as `kamld predict` makes it: over HTTP, like any other client."""

from dataclasses import dataclass
from pathlib import Path

from kamld.serving.client import Client
from kamld.serving.inputs.files import read_inputs
from kamld.serving.interface import ModelMetadata
from kamld.serving.models.summary import scores, summary
from kamld.serving.oip.answers import Answer, decode_answer
from kamld.serving.oip.requests import encode_request


@dataclass(frozen=True, slots=True)
class Predicted:
    """`scores`: for each row its classes, best first; empty when the model does not classify."""

    answer: Answer
    scores: list[list[tuple[str, float]]]
    summary: str
    metadata: ModelMetadata


def predict(client: Client, model: str, file: Path, *, version: str | None = None) -> Predicted:
    """Raises KamldError: the file's faults, the server's, or the connection's."""
    metadata = client.metadata(model, version)
    body, json_length = encode_request(read_inputs(file, metadata.inputs))
    reply = client.infer(model, body, json_length=json_length, version=version)
    answer = decode_answer(reply.body, reply.json_length)
    return Predicted(
        answer,
        scores(answer.outputs, metadata.classes),
        summary(answer.outputs, metadata.classes),
        metadata,
    )
