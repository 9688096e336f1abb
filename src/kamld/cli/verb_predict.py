"""`kamld predict`: one question to a deployment, over HTTP as any client would."""

import time
from pathlib import Path

import click

from kamld.app import serving as wired
from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door
from kamld.errors import NotFound
from kamld.serving.predict import Predicted, predict

_SHOWN = 3  # classes of a row
_BAR = 20  # columns
_LEAST = 0.005  # a class less likely than this is left out, unless it is the first


@click.command("predict")
@click.argument("endpoint")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--version", help="This version, where several are served: v3")
@json_option
@pass_door
def command(door: Door, endpoint: str, file: Path, version: str | None, as_json: bool) -> None:
    """Ask a deployment about FILE: a picture, a JSON or CSV row, or a NumPy array.

    FILE is brought to the shape and type of the model's input. A picture becomes its pixel values, 0
    to 255; scaling them belongs into the model. Every answer has an id that kamld why traces.

    \b
    Examples:
      kamld predict digits-net digits/3/0042.png
      kamld predict houses row.csv
      kamld predict digits-net array.npy --json
    """
    app = door.app
    path = app.folder / file
    if not path.is_file():
        raise NotFound("no_such_file", f"There is no file {file}.", "Name a picture, table or array.")
    client = wired.connected(app, endpoint)
    start = time.perf_counter()
    predicted = predict(client, endpoint, path, version=version)
    elapsed_ms = (time.perf_counter() - start) * 1000
    if as_json:
        render.json_value(_json(predicted, elapsed_ms))
        return
    _show(predicted, elapsed_ms)


def _show(predicted: Predicted, elapsed_ms: float) -> None:
    answer = predicted.answer
    for row in predicted.scores:
        shown = [pair for at, pair in enumerate(row[:_SHOWN]) if at == 0 or pair[1] >= _LEAST]
        render.table([(name, f"{score:.2f}", "█" * round(score * _BAR)) for name, score in shown], right=(1,))
    if not predicted.scores:
        render.say(predicted.summary)
    model = click.style(f"{answer.model} {answer.version}", bold=True)
    render.say(f"{model}, {elapsed_ms:.1f} ms, prediction {answer.prediction}")
    render.say(f"Trace it: kamld why {answer.prediction}")


def _json(predicted: Predicted, elapsed_ms: float) -> dict[str, object]:
    answer = predicted.answer
    return {
        "prediction_id": answer.prediction,
        "model": answer.model,
        "version": answer.version,
        "ms": round(elapsed_ms, 3),
        "outputs": {name: array.tolist() for name, array in answer.outputs.items()},
        "scores": [[{"class": name, "score": score} for name, score in row] for row in predicted.scores],
    }
