"""Downloads from a server in this process, which may break off or lie."""

import hashlib
import http.server
import io
import re
import sys
import threading
import zipfile

import numpy as np
import pytest
from event_files import random_events
from event_files import write_atis

from keras_spiking import datasets
from keras_spiking.datasets import archives
from keras_spiking.datasets import downloads
from keras_spiking.datasets.downloads import Archive

pytestmark = pytest.mark.once

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges = True
        self.breaks_after = None
        self.asked = []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/file"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, content = self.server, self.server.content
        asked = self.headers.get("Range")
        server.asked.append(asked)
        if self.path != "/file":
            return self.send_error(404)
        start = 0
        if asked and server.ranges:
            start = int(re.match(r"bytes=(\d+)-", asked)[1])
            if start >= len(content):
                return self.send_error(416)
            self.send_response(206)
            last = len(content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop, server.breaks_after = server.breaks_after, None
        self.wfile.write(content[start:stop])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def archive(server, content=CONTENT):
    return Archive(hashlib.md5(content).hexdigest(), server.address)


def test_download_once(server, tmp_path, capsys):
    for _ in range(2):
        downloads.fetch(tmp_path / "new", "a.zip", archive(server))
    (found,) = (tmp_path / "new").iterdir()
    assert found.name == "a.zip" and found.read_bytes() == CONTENT
    assert server.asked == [None]
    assert "3000000/3000000" in capsys.readouterr().out


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_connection_goes_on(server, tmp_path, ranges):
    server.ranges, server.breaks_after = ranges, 2_000_000
    with pytest.raises(ConnectionError, match="the next try goes on from there"):
        downloads.fetch(tmp_path, "a.zip", archive(server))
    assert [path.name for path in tmp_path.iterdir()] == [".part-a.zip"]
    arrived = (tmp_path / ".part-a.zip").stat().st_size
    assert arrived >= 1_000_000
    downloads.fetch(tmp_path, "a.zip", archive(server))
    assert server.asked == [None, f"bytes={arrived}-"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_killed_before_the_last_step(server, tmp_path):
    (tmp_path / ".part-a.zip").write_bytes(CONTENT)
    downloads.fetch(tmp_path, "a.zip", archive(server))
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_checksum_that_does_not_match(server, tmp_path):
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(ValueError, match="does not match"):
        downloads.fetch(tmp_path, "a.zip", archive(server))
    assert not list(tmp_path.iterdir())


def test_offline(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError, match="put the file 'a.zip' into the folder"):
        downloads.fetch(tmp_path, "a.zip", archive(server))


def test_file_that_is_gone(server, tmp_path):
    gone = Archive("0", server.address + "/gone")
    with pytest.raises(ConnectionError, match="404"):
        downloads.fetch(tmp_path, "a.zip", gone)


def test_folder_that_cannot_be_written_to(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="`folder` cannot be written to.*choose another"):
        downloads.fetch(tmp_path / "file" / "data", "a.zip", archive(server))


def test_without_pooch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match="pip install pooch"):
        datasets.load_n_mnist(tmp_path, download=True)


def test_loader_downloads_what_is_missing(server, tmp_path, monkeypatch):
    write_atis(tmp_path / "1.bin", random_events(9, width=34, height=34))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.write(tmp_path / "1.bin", "Train/3/1.bin")
    server.content = content.getvalue()
    published = archive(server, server.content)
    monkeypatch.setattr("keras_spiking.datasets.named.Archive", lambda *_: published)
    folder = tmp_path / "data"
    with pytest.raises(ValueError, match="does not exist.*download=True"):
        datasets.load_n_mnist(folder)
    for _ in range(2):
        recordings = datasets.load_n_mnist(folder, download=True)
        assert len(recordings) == 1 and recordings.classes == ["3"]
    (folder / "Train.zip").unlink()
    assert len(datasets.load_n_mnist(folder, download=True)) == 1  # it is unpacked
    assert server.asked == [None]


def test_loaders_that_download_name_their_addresses(tmp_path, monkeypatch):
    fetched = {}

    def note(folder, name, archive):
        fetched[name] = archive
        raise ConnectionError

    monkeypatch.setattr(archives, "fetch", note)
    for load in (
        datasets.load_n_mnist,
        datasets.load_n_caltech101,
        datasets.load_cifar10_dvs,
        datasets.load_shd,
        datasets.load_ssc,
        datasets.SpeechCommands,
    ):
        with pytest.raises(ConnectionError):
            load(tmp_path, download=True)
        with pytest.raises(ValueError, match="download=True"):
            load(tmp_path)
        with pytest.raises(TypeError, match="download"):
            load(tmp_path, download="yes")
    assert len(fetched) == 6
    for archive in fetched.values():
        assert archive.address.startswith("https://") and len(archive.md5) == 32
