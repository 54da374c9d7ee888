"""Zip and tar archives: files are taken out by the pattern of their names, or one file or directory by its path.

An archive is other people's bytes. Nothing is written outside its own folder, absurd sizes are refused, and a folder
that exists is complete, since everything is unpacked beside it first.
"""

import fnmatch
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from engine.errors import FetchError
from engine.readers.ingestion import MAX_BYTES, MAX_RATIO

ANY_MEMBER = "*"
_SMALL = 16 << 20

Place = Callable[[PurePosixPath], PurePosixPath | None]
"""Where a member goes, relative to the folder of the archive; None where it is not wanted."""


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

    def by_name(name: PurePosixPath) -> PurePosixPath | None:
        # Its folders do not count, so none can lead elsewhere.
        return PurePosixPath(name.name) if fnmatch.fnmatchcase(name.name, pattern) else None

    _unpack(archive, folder, by_name, pattern)
    return sorted(folder.iterdir())


def unpacked(archive: Path, member: str) -> Path:
    """Where a member of an archive lies after `unpack`; for `*` the only entry at its top, if it was unpacked."""
    folder = archive.with_name(archive.name + ".unpacked")
    if member != ANY_MEMBER:
        return folder / member
    entries = list(folder.iterdir()) if folder.is_dir() else []
    return entries[0] if len(entries) == 1 else folder / "nothing"


def unpack(archive: Path, member: str) -> None:
    """Take one file or directory out of an archive, with the folders that it lies in, unless it is there.

    Args:
        archive: A zip or tar file.
        member: Path inside it; `*` for the only entry at its top, whatever its name.

    Raises:
        FetchError: It is no archive, holds no such member or a path that leads out of it, or unpacks to absurdly much.
    """
    if unpacked(archive, member).exists():
        return

    def below_member(name: PurePosixPath) -> PurePosixPath | None:
        if member != ANY_MEMBER and name != PurePosixPath(member) and PurePosixPath(member) not in name.parents:
            return None
        if name.is_absolute() or ".." in name.parts:
            raise FetchError(f"{archive.name} holds '{name}', which leads out of its folder; it was not unpacked.")
        return name

    _unpack(archive, archive.with_name(archive.name + ".unpacked"), below_member, member)
    if not unpacked(archive, member).exists():
        raise FetchError(f"{archive.name} holds no '{member}': there is more than one entry at its top.")


def _unpack(archive: Path, folder: Path, place: Place, wanted: str) -> None:
    """Fill a folder with the members that `place` wants: all of them, or the folder stays as it was."""
    partial = archive.with_name(archive.name + ".unpacking")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _extract(archive, partial, place, wanted)
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise FetchError(f"{archive.name} cannot be unpacked: {error}.") from error
    except FetchError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def _extract(archive: Path, folder: Path, place: Place, wanted: str) -> None:
    """Write the members that are wanted into a folder."""
    limit = min(4 * MAX_BYTES, max(_SMALL, MAX_RATIO * archive.stat().st_size))
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            members = [(info.filename, info.file_size) for info in opened.infolist() if not info.is_dir()]
            _write(archive, folder, place, wanted, members, opened.open, limit)
        return
    with tarfile.open(archive) as tar:
        found = {member.name: member for member in tar.getmembers() if member.isfile()}

        def open_member(name: str) -> IO[bytes]:
            stream = tar.extractfile(found[name])
            assert stream is not None  # it is a regular file
            return stream

        _write(archive, folder, place, wanted, [(m.name, m.size) for m in found.values()], open_member, limit)


def _write(
    archive: Path,
    folder: Path,
    place: Place,
    wanted: str,
    members: list[tuple[str, int]],
    open_member: Callable[[str], IO[bytes]],
    limit: int,
) -> None:
    """Copy the members that have a place."""
    placed = [(name, size, where) for name, size in members if (where := place(PurePosixPath(name))) is not None]
    if not placed:
        names = ", ".join(sorted(name for name, _ in members)[:8])
        raise FetchError(f"{archive.name} holds no '{wanted}'; it holds {names or 'nothing'}.")
    if (total := sum(size for _, size, _ in placed)) > limit:
        raise FetchError(f"{archive.name} unpacks to {total / 1e6:.0f} MB; it was not read.")
    for name, size, where in placed:
        target = folder / where
        if target.exists():
            raise FetchError(f"{archive.name} holds '{where}' twice.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_member(name) as source, target.open("wb") as handle:
            shutil.copyfileobj(source, handle)
        if target.stat().st_size != size:
            raise FetchError(f"{archive.name}: '{name}' is cut.")
