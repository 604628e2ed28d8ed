"""The folder that commands write in: how much it holds, and what may not stay in it after a command.

Whoever reads the folder later is not in a sandbox. So no file keeps setuid or setgid bits or capabilities, no link
leads out of the folder (but those that were there at first), no pipe or socket waits for a reader, and what a command
made beyond the quota is removed. Nothing can be hidden from that: a folder without rights gets its owner's back, and
one that lies too deep to be walked is removed.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path

_LEAST_BYTES = 4_096  # what an entry counts at least, so that empty files count too
MOST_DEEP = 100  # folders in one another: each that is walked holds a descriptor, and paths must not grow without end
Key = tuple[int, int]  # device and inode


@dataclass(slots=True)
class Contents:
    """What the folder holds: the bytes on disk of each entry, which are folders, and which of these lie too deep."""

    sizes: dict[Key, int] = field(default_factory=dict)
    folders: set[Key] = field(default_factory=set)
    too_deep: set[Key] = field(default_factory=set)  # what is in them is not known

    @property
    def total(self) -> int:
        return sum(self.sizes.values())


class Workspace:
    def __init__(self, folder: Path, quota_bytes: int) -> None:
        self.folder, self.quota_bytes = folder, quota_bytes
        self._own_closed = {_key(status) for status in self._folders() if not _is_open(status)}
        self._own_links = {(path, target) for path, target, _ in self._links_outside()}
        self._keeps_group = bool(folder.stat().st_mode & stat.S_ISGID)

    def contents(self) -> Contents:
        """Measured now; what vanishes meanwhile does not count."""
        found = Contents()
        for root, name, place in self._entries():
            with contextlib.suppress(OSError):
                status = os.stat(name, dir_fd=place, follow_symlinks=False)
                found.sizes[_key(status)] = max(status.st_blocks * 512, _LEAST_BYTES)
                if stat.S_ISDIR(status.st_mode):
                    found.folders.add(_key(status))
                    if self._depth(root) == MOST_DEEP:
                        found.too_deep.add(_key(status))
        return found

    def clean(self, before: Contents) -> list[str]:
        """Remove what may not stay; `before` is what was there before the command. Gives a sentence for each kind."""
        deep = self._without_what_is_too_deep(before)
        told = [f"{deep:,} folder(s) more than {MOST_DEEP} deep were removed, with what was in them"] if deep else []
        bits = 0
        for _, name, place in self._entries():
            with contextlib.suppress(OSError):
                bits += self._without_bits(name, place)
        told += [f"{bits:,} setuid or setgid file(s) lost that bit"] if bits else []
        if links := self._remove({key for *link, key in self._links_outside() if tuple(link) not in self._own_links}):
            told.append(f"{links:,} link(s) to outside the folder were removed")
        if pipes := self._remove(self._pipes() - before.sizes.keys()):
            told.append(f"{pipes:,} pipe(s) or socket(s) were removed")
        return told + self._within_quota(before)

    def _without_bits(self, name: str, place: int) -> bool:
        with _held(name, place) as file:
            mode = os.fstat(file).st_mode
            if stat.S_ISLNK(mode):
                return False
            with contextlib.suppress(OSError):  # there is none
                os.removexattr(f"/proc/self/fd/{file}", "security.capability")
            kept = stat.S_ISGID if stat.S_ISDIR(mode) and self._keeps_group else 0
            wanted = stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID) | (mode & kept)
            if wanted == stat.S_IMODE(mode):
                return False
            Path(f"/proc/self/fd/{file}").chmod(wanted)
            return True

    def _without_what_is_too_deep(self, before: Contents) -> int:
        """How many folders were removed; those that were there before stay."""
        removed = 0
        for root, name, place in self._entries():
            with contextlib.suppress(OSError):
                if self._depth(root) == MOST_DEEP:
                    status = os.stat(name, dir_fd=place, follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode) and _key(status) not in before.sizes:
                        _remove_folder(name, place)
                        removed += 1
        return removed

    def _pipes(self) -> set[Key]:
        """Whatever is no file, folder or link."""
        found = set()
        for _, name, place in self._entries():
            with contextlib.suppress(OSError):
                status = os.stat(name, dir_fd=place, follow_symlinks=False)
                if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode)):
                    found.add(_key(status))
        return found

    def _within_quota(self, before: Contents) -> list[str]:
        """The largest files that the command made are removed until the rest fits."""
        now = self.contents()
        made = sorted(now.sizes.keys() - before.sizes.keys() - now.folders, key=lambda key: now.sizes[key])
        too_much, rest = set(), now.total
        while made and rest > self.quota_bytes:
            largest = made.pop()
            too_much.add(largest)
            rest -= now.sizes[largest]
        removed, total = self._remove(too_much), self.contents().total
        quota = f"{self.quota_bytes / 2**20:,.0f} MB"
        told = [f"more than the folder's {quota} were written: {removed:,} file(s) were removed"] if removed else []
        if total > self.quota_bytes:
            told.append(f"the folder is full ({total / 2**20:,.0f} MB of {quota}): delete something")
        return told

    def _remove(self, keys: Set[Key]) -> int:
        """Remove these; how many went. By their inodes, so that nothing that took a name's place goes instead."""
        removed = 0
        for _, name, place in self._entries() if keys else ():
            with contextlib.suppress(OSError):  # a folder is left
                status = os.stat(name, dir_fd=place, follow_symlinks=False)
                if _key(status) in keys:
                    os.unlink(name, dir_fd=place)
                    removed += 1
        return removed

    def _links_outside(self) -> Iterator[tuple[Path, str, Key]]:
        """Each link that leads out of the folder: its path, what it says, its device and inode."""
        for root, name, _ in self._entries():
            path = Path(root) / name
            with contextlib.suppress(OSError):
                if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(self.folder):
                    yield path, str(path.readlink()), _key(path.lstat())

    def _entries(self) -> Iterator[tuple[str, str, int]]:
        """Every entry: its folder's path, its name, and a descriptor of its folder. Links are not followed."""
        for root, folders, files, place in os.fwalk(self.folder, topdown=True, follow_symlinks=False):
            for name in folders:
                self._open_up(name, place)
            for name in (*folders, *files):
                yield root, name, place
            if self._depth(root) == MOST_DEEP:
                folders.clear()

    def _folders(self) -> Iterator[os.stat_result]:
        """The folders as they are, down to what is too deep."""
        for root, folders, _, place in os.fwalk(self.folder, topdown=True, follow_symlinks=False):
            for name in folders:
                with contextlib.suppress(OSError):
                    yield os.stat(name, dir_fd=place, follow_symlinks=False)
            if self._depth(root) == MOST_DEEP:
                folders.clear()

    def _depth(self, root: str) -> int:
        return len(Path(root).parts) - len(self.folder.parts)

    def _open_up(self, name: str, place: int) -> None:
        """Give the owner of a folder his rights back, without which nobody could walk through it."""
        with contextlib.suppress(OSError), _held(name, place) as file:
            status = os.fstat(file)
            if stat.S_ISDIR(status.st_mode) and not _is_open(status) and _key(status) not in self._own_closed:
                Path(f"/proc/self/fd/{file}").chmod(stat.S_IMODE(status.st_mode) | stat.S_IRWXU)


def _key(status: os.stat_result) -> Key:
    return status.st_dev, status.st_ino


def _is_open(status: os.stat_result) -> bool:
    return status.st_mode & stat.S_IRWXU == stat.S_IRWXU


@contextlib.contextmanager
def _held(name: str, place: int) -> Iterator[int]:
    """A descriptor of what has the name now: what takes its place meanwhile is not touched."""
    file = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=place)
    try:
        yield file
    finally:
        os.close(file)


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _remove_folder(name: str, place: int) -> None:
    """Remove a folder, however deep. What is in its folders is moved up into it, so that no path grows long."""
    top = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
    try:
        n_moved = 0
        while entries := _names(top):
            for entry in entries:
                if not stat.S_ISDIR(os.stat(entry, dir_fd=top, follow_symlinks=False).st_mode):
                    os.unlink(entry, dir_fd=top)
                    continue
                os.chmod(entry, stat.S_IRWXU, dir_fd=top)
                below = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
                try:
                    for inner in _names(below):
                        n_moved += 1
                        os.rename(inner, f".moved-{n_moved}-{os.urandom(8).hex()}", src_dir_fd=below, dst_dir_fd=top)
                finally:
                    os.close(below)
                os.rmdir(entry, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=place)
