"""Bring files in: from a mirror directory or by URL, resumed where interrupted, checked before use.

A file appears under its final name only when its checksum is right. Where a registry entry has no checksum, because
nobody could have the bytes when it was written, the first fetch records one beside the file and every later fetch
must agree with it.
"""

import gzip
import hashlib
import http.client
import os
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from engine.errors import FetchError
from engine.files import write_text

CHUNK = 1 << 20
ATTEMPTS = 4


def sha256_of(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def fetch_file(target: Path, *, sha256: str = "", url: str | None = None, mirrored: Path | None = None) -> str:
    """Make sure that a file is present and has its checksum.

    Args:
        target: Where it belongs.
        sha256: Checksum that it must have; empty to record what the first fetch brings.
        url: Where to download it from.
        mirrored: The same bytes on this machine, tried first; packed where its name ends in .gz and the target's not.

    Returns:
        How it came: `present`, `mirror` or `download`.

    Raises:
        FetchError: No source has it, or its checksum is wrong; nothing is left under its name.
    """
    wanted = sha256 or recorded_sha256(target)
    if target.is_file() and wanted and sha256_of(target) == wanted:
        return "present"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    if mirrored is not None and mirrored.is_file():
        is_packed = mirrored.suffix == ".gz" and target.suffix != ".gz"
        try:
            with gzip.open(mirrored) if is_packed else mirrored.open("rb") as packed, part.open("wb") as copy:
                shutil.copyfileobj(packed, copy)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise FetchError(f"{mirrored} is no whole gzip file ({error}); fetch without --mirror.") from error
        how = "mirror"
    elif url is not None:
        _download(url, part, is_checked=bool(wanted))
        how = "download"
    else:
        raise FetchError(f"{target.name} has no address; give a mirror directory with --mirror.")
    found = sha256_of(part)
    if wanted and found != wanted:
        part.unlink()
        source = mirrored if how == "mirror" else url
        raise FetchError(
            f"{target.name} from {source} has sha256 {found[:16]}…, expected {wanted[:16]}…; it was not kept."
        )
    if not sha256:
        write_text(_record(target), found + "\n")
    part.replace(target)
    _validator(part).unlink(missing_ok=True)
    return how


def recorded_sha256(target: Path) -> str:
    """Checksum that the first fetch of a file recorded; empty where there is none."""
    record = _record(target)
    return record.read_text().strip() if record.is_file() else ""


def _record(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")


def _validator(part: Path) -> Path:
    """File with the mark by which the server tells versions of a half-loaded file apart (ETag)."""
    return part.with_name(part.name + ".etag")


def _download(url: str, part: Path, *, is_checked: bool) -> None:
    """Download into a partial file, going on where an earlier attempt ended.

    Where no checksum tells whether two halves belong together, the server must say that it has the version still.
    """
    for attempt in range(1, ATTEMPTS + 1):
        if not is_checked and not _validator(part).is_file():
            part.unlink(missing_ok=True)
        try:
            _download_once(url, part)
            return
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the partial file is already as long as the whole
                return
            if error.code in (401, 403):
                raise FetchError(
                    f"{url} answers {error.code}: it is gated; accept its licence on its page, then set HF_TOKEN."
                ) from error
            if error.code < 500:
                raise FetchError(f"{url} answers {error.code} {error.reason}.") from error
            problem: Exception = error
        except (OSError, http.client.HTTPException) as error:
            problem = error
            if isinstance(getattr(error, "reason", None), socket.gaierror):
                break  # no such host, or no network at all: trying again soon changes nothing
        if attempt < ATTEMPTS:
            time.sleep(min(2**attempt, 10) if os.environ.get("DEFECT_ATLAS_RETRY_WAIT") != "0" else 0)
    raise FetchError(
        f"{url} cannot be reached ({problem}); check the network, or give a mirror directory with --mirror."
    ) from problem


def _download_once(url: str, part: Path) -> None:
    size = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "defect-atlas"})
    mark = _validator(part)
    if size:
        request.add_header("Range", f"bytes={size}-")
        if mark.is_file():
            request.add_header("If-Range", mark.read_text())  # else the whole of the new version comes
    token = os.environ.get("HF_TOKEN")
    if token and request.host and request.host.endswith("huggingface.co"):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=60) as response:
        resumed = response.status == 206
        if not resumed:
            etag = response.headers.get("ETag", "")
            mark.unlink(missing_ok=True)
            if etag and not etag.startswith("W/"):  # a weak one does not stand for the bytes
                write_text(mark, etag)
        total = int(response.headers.get("Content-Length") or 0) + (size if resumed else 0)
        done = size if resumed else 0
        with part.open("ab" if resumed else "wb") as handle:
            while chunk := response.read(CHUNK):
                handle.write(chunk)
                done += len(chunk)
                _show(part.name.removesuffix(".part"), done, total)
    if total and done < total:
        raise http.client.IncompleteRead(b"", total - done)


def _show(name: str, done: int, total: int) -> None:
    """One line that grows, only where a person watches."""
    if sys.stderr.isatty():
        share = f" of {total / 1e6:.1f}" if total else ""
        end = "\n" if done >= total else ""
        print(f"\r{name}: {done / 1e6:.1f}{share} MB", end=end, file=sys.stderr, flush=True)
