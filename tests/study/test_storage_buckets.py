"""Data in buckets: an S3 server on loopback."""

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from tests.flowers import flowers, write
from tuner.data.dataset import DatasetSection, load
from tuner.errors import DatasetError


class Bucket(http.server.BaseHTTPRequestHandler):
    """What pyarrow asks of an S3 server to read one object."""

    objects: dict[str, bytes]
    refuses: bool

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        content = self.objects.get(unquote(urlsplit(self.path).path).lstrip("/"), b"")
        status = 403 if self.refuses else 200 if content else 404
        self.send_response(206 if status == 200 and "Range" in self.headers else status)
        if status == 200 and "Range" in self.headers:
            first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            size, content = len(content), content[first : last + 1]
            self.send_header("Content-Range", f"bytes {first}-{first + len(content) - 1}/{size}")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[type[Bucket], str]]:
    """A bucket on loopback, and the options that lead there."""

    class Mine(Bucket):
        objects: dict[str, bytes] = {}  # noqa: RUF012
        refuses = False

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Mine, f"?endpoint_override=127.0.0.1:{server.server_address[1]}&scheme=http&region=us-east-1"
        server.shutdown()


@pytest.mark.parametrize("name", ["flowers.csv", "flowers.parquet"])
def test_table_in_a_bucket_is_read_as_a_local_one(bucket: tuple[type[Bucket], str], tmp_path: Path, name: str) -> None:
    server, options = bucket
    server.objects[f"data/{name}"] = write(flowers(), tmp_path / name).read_bytes()
    places = (f"s3://data/{name}{options}", str(tmp_path / name))
    facts = [load(DatasetSection(source="table", path=path, target="kind"), 0)[0].facts for path in places]
    assert facts[0]["content_hash"] == facts[1]["content_hash"]


def test_archive_in_a_bucket_is_read_as_a_local_one(bucket: tuple[type[Bucket], str], tmp_path: Path) -> None:
    server, options = bucket
    np.savez(tmp_path / "a.npz", x=np.arange(120.0).reshape(60, 2), y=np.arange(60) % 3)
    server.objects["data/a.npz"] = (tmp_path / "a.npz").read_bytes()
    facts = [load(DatasetSection(source="npz", path=path), 0)[0].facts for path in (f"s3://data/a.npz{options}", str(tmp_path / "a.npz"))]
    assert facts[0]["content_hash"] == facts[1]["content_hash"]


def test_bucket_that_refuses_or_lacks_the_object_is_told_in_one_line(bucket: tuple[type[Bucket], str]) -> None:
    server, options = bucket
    section = DatasetSection(source="table", path=f"s3://data/flowers.csv{options}", target="kind")
    with pytest.raises(DatasetError, match="no such file or folder; check the bucket and the name"):
        load(section, 0)
    server.refuses = True
    with pytest.raises(DatasetError, match=r"out of reach \(.*ACCESS_DENIED.*\); expected a path, or an s3:// or gs:// URL") as caught:
        load(section, 0)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_file_system_that_is_not_known_is_told_in_one_line() -> None:
    with pytest.raises(DatasetError, match=r"https://example.org/t.csv: out of reach \(Unrecognized filesystem type"):
        load(DatasetSection(source="table", path="https://example.org/t.csv", target="kind"), 0)
