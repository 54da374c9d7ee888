"""Take single files out of an archive by the pattern of their names, whatever folders they lie in."""

import fnmatch
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from engine.errors import FetchError
from engine.ingestion import MAX_BYTES, MAX_RATIO

_SMALL = 16 << 20


def unpack_members(archive: Path, pattern: str) -> list[Path]:
    """Unpack the members whose file name fits a pattern, each under that name alone.

    Args:
        archive: A zip or tar file.
        pattern: Shell pattern of file names, such as `*.xyz`.

    Returns:
        Paths of the unpacked files, sorted; they stay where they are for the next call.

    Raises:
        FetchError: It is no archive, no member fits, two have the same name, or it unpacks to absurdly much.
    """
    folder = archive.with_name(archive.name + ".members")
    if folder.is_dir() and folder.stat().st_mtime >= archive.stat().st_mtime:
        found = sorted(path for path in folder.iterdir() if fnmatch.fnmatchcase(path.name, pattern))
        if found:
            return found
    partial = archive.with_name(archive.name + ".unpacking")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _extract(archive, pattern, partial)
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise FetchError(f"{archive.name} cannot be unpacked: {error}.") from error
    except FetchError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
    return sorted(folder.iterdir())


def _extract(archive: Path, pattern: str, folder: Path) -> None:
    """Write the members that fit into a folder."""
    limit = min(4 * MAX_BYTES, max(_SMALL, MAX_RATIO * archive.stat().st_size))
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            members = [(info.filename, info.file_size) for info in opened.infolist() if not info.is_dir()]
            _write(archive, pattern, folder, members, opened.open, limit)
        return
    with tarfile.open(archive) as tar:
        found = {member.name: member for member in tar.getmembers() if member.isfile()}

        def open_member(name: str) -> IO[bytes]:
            stream = tar.extractfile(found[name])
            assert stream is not None  # it is a regular file
            return stream

        _write(archive, pattern, folder, [(m.name, m.size) for m in found.values()], open_member, limit)


def _write(
    archive: Path,
    pattern: str,
    folder: Path,
    members: list[tuple[str, int]],
    open_member: Callable[[str], IO[bytes]],
    limit: int,
) -> None:
    """Copy what fits the pattern; a member's folders do not count, so none can lead elsewhere."""
    wanted = [(name, size) for name, size in members if fnmatch.fnmatchcase(PurePosixPath(name).name, pattern)]
    if not wanted:
        names = ", ".join(sorted(name for name, _ in members)[:8])
        raise FetchError(f"{archive.name} holds no '{pattern}'; it holds {names or 'nothing'}.")
    if sum(size for _, size in wanted) > limit:
        raise FetchError(f"{archive.name} unpacks to {sum(size for _, size in wanted) / 1e6:.0f} MB; it was not read.")
    for name, size in wanted:
        target = folder / PurePosixPath(name).name
        if target.exists():
            raise FetchError(f"{archive.name} holds '{target.name}' twice.")
        with open_member(name) as source, target.open("wb") as handle:
            shutil.copyfileobj(source, handle)
        if target.stat().st_size != size:
            raise FetchError(f"{archive.name}: '{name}' is cut.")
