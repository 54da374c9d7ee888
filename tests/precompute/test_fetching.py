"""Downloads against a real local server: whole, interrupted, wrong, gated, absent."""

import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from typing import ClassVar

import pytest

from engine.errors import FetchError
from precompute.acquire.fetching import fetch_file

BODY = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves BODY; /flaky breaks off once in the middle; /gated wants a token; /new has another version each time."""

    log: ClassVar[list] = []
    etags: ClassVar[bool] = True

    def do_GET(self):
        self.log.append((self.path, self.headers.get("Range")))
        if self.path == "/gated":
            return self.send_error(401)
        if self.path == "/absent":
            return self.send_error(404)
        if self.path == "/new":
            return self._other_version()
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(BODY) - start))
        self.end_headers()
        is_first = sum(path == self.path for path, _ in self.log) == 1
        end = len(BODY) // 2 if self.path == "/flaky" and is_first else len(BODY)
        self.wfile.write(BODY[start:end])
        return None

    def _other_version(self):
        """Break off once, then have bytes of another version; whoever asks whether it is the same is told."""
        number = len(self.log)
        asked = self.headers.get("If-Range")
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        start = 0 if asked and asked != f'"{number}"' else start
        self.send_response(206 if start else 200)
        if self.etags:
            self.send_header("ETag", f'"{number}"')
        self.send_header("Content-Length", str(1000 - start))
        self.end_headers()
        self.wfile.write((bytes([number]) * 1000)[start : 500 if number == 1 else 1000])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[str]:
    monkeypatch.setenv("DEFECT_ATLAS_RETRY_WAIT", "0")
    monkeypatch.setattr(Handler, "log", [])
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_a_download_is_checked_and_then_present(server, tmp_path):
    target = tmp_path / "weights" / "w.pt"
    assert fetch_file(target, sha256=SHA256, url=f"{server}/w") == "download"
    assert target.read_bytes() == BODY
    assert fetch_file(target, sha256=SHA256, url=f"{server}/w") == "present"
    assert len(Handler.log) == 1


def test_an_interrupted_download_goes_on_where_it_ended(server, tmp_path):
    fetch_file(tmp_path / "w", sha256=SHA256, url=f"{server}/flaky")
    assert (tmp_path / "w").read_bytes() == BODY
    assert Handler.log == [("/flaky", None), ("/flaky", f"bytes={len(BODY) // 2}-")]


def test_a_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(FetchError, match="not kept"):
        fetch_file(tmp_path / "w", sha256="0" * 64, url=f"{server}/w")
    assert list(tmp_path.iterdir()) == []


def test_without_a_checksum_the_first_fetch_records_one(server, tmp_path):
    fetch_file(tmp_path / "w", url=f"{server}/w")
    assert (tmp_path / "w.sha256").read_text().strip() == SHA256
    (tmp_path / "w").write_bytes(b"changed")
    fetch_file(tmp_path / "w", url=f"{server}/w")
    assert (tmp_path / "w").read_bytes() == BODY


def test_a_gate_is_explained_in_one_sentence(server, tmp_path):
    with pytest.raises(FetchError, match=r"gated; accept its licence .* set HF_TOKEN"):
        fetch_file(tmp_path / "w", url=f"{server}/gated")


def test_an_absent_file_is_not_asked_for_again(server, tmp_path):
    with pytest.raises(FetchError, match="404"):
        fetch_file(tmp_path / "w", url=f"{server}/absent")
    assert len(Handler.log) == 1


def test_an_unreachable_host_names_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setenv("DEFECT_ATLAS_RETRY_WAIT", "0")
    with pytest.raises(FetchError, match="--mirror"):
        fetch_file(tmp_path / "w", url="http://127.0.0.1:1/w")


def test_a_mirror_comes_before_the_network(tmp_path):
    (tmp_path / "mirror").write_bytes(BODY)
    target = tmp_path / "w"
    assert fetch_file(target, sha256=SHA256, url="http://127.0.0.1:1/w", mirrored=tmp_path / "mirror") == "mirror"
    assert target.read_bytes() == BODY


def test_a_packed_copy_is_unpacked_and_checked_like_any_other(tmp_path):
    packed = tmp_path / "w.txt.gz"
    packed.write_bytes(gzip.compress(BODY))
    assert fetch_file(tmp_path / "here" / "w.txt", sha256=SHA256, mirrored=packed) == "mirror"
    assert (tmp_path / "here" / "w.txt").read_bytes() == BODY
    same = hashlib.sha256(packed.read_bytes()).hexdigest()
    assert fetch_file(tmp_path / "here" / "w.txt.gz", sha256=same, mirrored=packed) == "mirror"


def test_a_packed_copy_that_breaks_off_is_named(tmp_path):
    packed = tmp_path / "w.txt.gz"
    packed.write_bytes(gzip.compress(BODY)[:-20])
    with pytest.raises(FetchError, match="no whole gzip file"):
        fetch_file(tmp_path / "here" / "w.txt", sha256=SHA256, mirrored=packed)
    assert not (tmp_path / "here" / "w.txt").exists()


@pytest.mark.parametrize("etags", [True, False], ids=["told by the server", "not told"])
def test_halves_of_two_versions_never_become_one_file(server, tmp_path, monkeypatch, etags):
    monkeypatch.setattr(Handler, "etags", etags)
    fetch_file(tmp_path / "w", url=f"{server}/new")  # no checksum would notice
    assert (tmp_path / "w").read_bytes() == bytes([2]) * 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w", "w.sha256"]
