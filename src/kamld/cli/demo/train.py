"""Train a classifier of handwritten digits and export it to ONNX.

An ordinary script: kamld tells it where its data is and where its model goes.
"""

import csv
import json
from pathlib import Path

import numpy as np
from onnx.helper import set_model_props
from PIL import Image
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import kamld


def load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures as rows of 64 pixel values, 0 to 255, and their labels."""
    with open(folder / "labels.csv", newline="") as file:
        labels = {row["file"]: row["label"] for row in csv.DictReader(file)}
    paths = sorted(folder.glob("*/*.png"))
    pixels = [np.asarray(Image.open(path), np.float32).ravel() for path in paths]
    digits = [labels[path.relative_to(folder).as_posix()] for path in paths]
    return np.stack(pixels), np.array(digits, np.int64)


train_x, train_y = load(kamld.input("digits-train"))
test_x, test_y = load(kamld.input("digits-test"))

net = make_pipeline(MinMaxScaler(), LogisticRegression(C=kamld.params()["C"], max_iter=1000))
net.fit(train_x, train_y)
kamld.log_metrics(
    accuracy=net.score(test_x, test_y),
    train_accuracy=net.score(train_x, train_y),
)

model = to_onnx(net, train_x[:1], options={"zipmap": False})
set_model_props(model, {"classes": json.dumps([str(digit) for digit in net.classes_])})
(kamld.output("digits-net") / "model.onnx").write_bytes(model.SerializeToString())
print(f"{len(train_y)} digits learned, {len(test_y)} tried")
