"""Files that are whole or not there: written under another name, then renamed.

The other name is ``.NAME.0.part``, beside the file. Who writes it holds a lock on it (:func:`fcntl.flock`), which the
system takes back when the process ends, however it ends. So what a killed process left is known by its name and by
having no lock, and the next one that writes the same file removes it. Writers that work on one file at the same time
take the numbers 0, 1, 2, …; the last to rename wins.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from itertools import count, dropwhile, islice, takewhile
from pathlib import Path

__all__ = ["remove_abandoned", "write_whole"]


def write_whole(file: Path, content: bytes) -> None:
    """Write to a temporary name beside `file`, force it to disk, then rename: whole or not at all.

    Raises:
        OSError: the file cannot be written; what was there before is still there.
    """
    target = _target(file)
    temporary, descriptor = _create(target)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            # Renamed under the lock: nobody takes the file for abandoned in between.
            temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    for other in takewhile(os.path.lexists, _after(temporary, _names(target))):
        remove_abandoned(other)


def remove_abandoned(temporary: Path) -> bool:
    """Remove a temporary file whose writer is gone; return whether there was one.

    Links, and files of others in a folder where one may not remove them, stay.
    """
    try:
        descriptor = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its writer may have renamed it since it was opened: under this name there would be another's file.
        if not os.path.samestat(os.fstat(descriptor), os.lstat(temporary)):
            return False
        temporary.unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _target(file: Path) -> Path:
    """Return the file that is to be replaced: a link stays, and what it leads to is written."""
    target = Path(os.path.realpath(file))
    if target.is_symlink():  # what is still a link leads in a circle
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(file))
    if target.exists() and not target.is_file():
        # A rename would put a file in the place of a device or a pipe.
        raise OSError(errno.EINVAL, "it is there and is no regular file", os.fspath(file))
    return target


def _names(target: Path) -> Iterator[Path]:
    return (target.with_name(f".{target.name}.{number}.part") for number in count())


def _after(temporary: Path, names: Iterator[Path]) -> Iterator[Path]:
    """Return the names behind that of a temporary file."""
    return islice(dropwhile(lambda name: name != temporary, names), 1, None)


def _create(target: Path) -> tuple[Path, int]:
    """Return a new temporary file of this process, with its descriptor, which holds the lock."""
    for temporary in _names(target):
        remove_abandoned(temporary)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            continue
        if _is_locked(descriptor):
            return temporary, descriptor
        os.close(descriptor)
    raise AssertionError("the numbers came to an end")


def _is_locked(descriptor: int) -> bool:
    """Lock a file that was just made; False if another process took it for abandoned before that, and removed it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # The file system has no locks: what a killed process leaves there stays.
        return True
    return os.fstat(descriptor).st_nlink > 0
