"""`kamld import` of what other people's tools make: a bucket, MLflow, Hugging Face datasets."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Kamld
from tests.exchange.packing import equal, odd_folder, pack
from tests.exchange.servers import PEERS, s3_server


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Runs a line of Python with a boto3 client `s3`, and a bucket named `shop`."""
    for name, value in {"ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "hidden", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with s3_server() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        head = f"import boto3; s3 = boto3.client('s3', endpoint_url='{address}', region_name='us-east-1'); "

        def told(line: str) -> None:
            subprocess.run([PEERS / "s3/bin/python", "-c", head + line], check=True)

        told("s3.create_bucket(Bucket='shop')")
        yield told


@pytest.mark.needs("moto")
def test_a_bucket(kamld: Kamld, bucket: Callable[[str], None], here: Path) -> None:
    folder = odd_folder(here / "odd")
    bucket(
        "[s3.put_object(Bucket='shop', Key=f'photos/{n}/{n}.jpg', Body=b'x' * n) for n in range(1, 60)];"
        "s3.put_object(Bucket='shop', Key='photos/large', Body=bytes(20_000_000));"
        "s3.put_object(Bucket='shop', Key='photos/9/', Body=b'');"
        "s3.put_object(Bucket='shop', Key='photosother', Body=b'no')"
    )
    made = kamld("import s3://shop/photos --json").json
    assert (made["files"], made["source_kind"]) == (60, "bucket")
    assert made["imported"]["source"] == "s3://shop/photos"
    bucket("s3.put_object(Bucket='shop', Key='photos/1/1.jpg', Body=b'yy')")
    assert kamld("import s3://shop/photos --json").json["bytes_read"] == 2
    assert "Nothing has changed" in kamld("import s3://shop/photos").out
    kamld("import s3://shop/photos left --reference")
    pack(folder, here / "pack.zip")
    bucket(f"s3.upload_file('{here}/pack.zip', 'shop', 'packs/pack.zip')")
    kamld("import s3://shop/packs/pack.zip")
    kamld("export pack out")
    equal(folder, here / "out")
    said = kamld("import s3://none/x y", status=1)
    assert "There is no bucket" in said.err
    assert "hidden" not in said.err + said.out


def python(peer: str, code: str) -> None:
    subprocess.run([PEERS / peer / "bin/python", "-c", code], check=True, capture_output=True)


@pytest.mark.needs("mlflow")
def test_an_mlflow_model(kamld: Kamld, here: Path) -> None:
    python("mlflow", """
import mlflow.sklearn, numpy
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression
x = numpy.array([[1.0], [2.0]]); model = LinearRegression().fit(x, [2.0, 4.0])
mlflow.sklearn.save_model(model, "net", signature=infer_signature(x, model.predict(x)))
""")  # fmt: skip
    made = kamld("import net --json").json
    assert (made["kind"], made["source_kind"]) == ("model", "mlflow")
    assert "sklearn" in made["metadata"]["mlflow"]["flavors"]
    assert made["metadata"]["mlflow"]["signature"]["inputs"][0]["type"] == "tensor"


@pytest.mark.needs("datasets")
def test_a_hugging_face_dataset(kamld: Kamld, here: Path) -> None:
    python("huggingface", """
from datasets import Dataset, DatasetDict, DatasetInfo
one = Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]}, info=DatasetInfo(license="cc0-1.0"))
one.save_to_disk("one")
DatasetDict(train=one, test=one).save_to_disk("both")
""")  # fmt: skip
    made = kamld("import one --json").json
    assert made["source_kind"] == "huggingface"
    assert made["metadata"]["huggingface"]["license"] == "cc0-1.0"
    assert set(made["metadata"]["huggingface"]["features"]) == {"text", "label"}
    both = kamld("import both --json").json
    assert both["metadata"]["huggingface"]["splits"] == ["train", "test"]
    kamld("export one out")
    python(
        "huggingface", "from datasets import load_from_disk; assert load_from_disk('out')[1]['text'] == 'b'"
    )
