"""The folder that commands write in: how much it holds, and what may not stay in it after a command.

Whoever reads the folder later is not in a sandbox. So no file keeps setuid or setgid bits or capabilities, no link
leads out of the folder (but those that were there at first), and what a command made beyond the quota is removed.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path

_LEAST_BYTES = 4_096  # what an entry counts at least, so that empty files count too


@dataclass(slots=True)
class Contents:
    """What the folder holds: the bytes on disk of each entry, by device and inode, and which are folders."""

    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    folders: set[tuple[int, int]] = field(default_factory=set)

    @property
    def total(self) -> int:
        return sum(self.sizes.values())


class Workspace:
    def __init__(self, folder: Path, quota_bytes: int) -> None:
        self.folder, self.quota_bytes = folder, quota_bytes
        self._own_links = {(path, target) for path, target, _ in self._links_outside()}
        self._keeps_group = bool(folder.stat().st_mode & stat.S_ISGID)

    def contents(self) -> Contents:
        """Measured now; what vanishes meanwhile does not count."""
        found = Contents()
        for _, name, place in self._entries():
            with contextlib.suppress(OSError):
                status = os.stat(name, dir_fd=place, follow_symlinks=False)
                key = (status.st_dev, status.st_ino)
                found.sizes[key] = max(status.st_blocks * 512, _LEAST_BYTES)
                if stat.S_ISDIR(status.st_mode):
                    found.folders.add(key)
        return found

    def clean(self, before: Contents) -> list[str]:
        """Remove what may not stay; `before` is what was there before the command. Gives a sentence for each kind."""
        bits = 0
        for _, name, place in self._entries():
            with contextlib.suppress(OSError):
                bits += self._without_bits(name, place)
        told = [f"{bits:,} setuid or setgid file(s) lost that bit"] if bits else []
        if links := self._remove({key for *link, key in self._links_outside() if tuple(link) not in self._own_links}):
            told.append(f"{links:,} link(s) to outside the folder were removed")
        return told + self._within_quota(before)

    def _without_bits(self, name: str, place: int) -> bool:
        # By a descriptor, so that nothing that takes the name's place meanwhile is changed.
        file = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=place)
        try:
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
        finally:
            os.close(file)

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

    def _remove(self, keys: Set[tuple[int, int]]) -> int:
        """Remove these; how many went. By their inodes, so that nothing that took a name's place goes instead."""
        removed = 0
        for _, name, place in self._entries() if keys else ():
            with contextlib.suppress(OSError):  # a folder is left
                status = os.stat(name, dir_fd=place, follow_symlinks=False)
                if (status.st_dev, status.st_ino) in keys:
                    os.unlink(name, dir_fd=place)
                    removed += 1
        return removed

    def _links_outside(self) -> Iterator[tuple[Path, str, tuple[int, int]]]:
        """Each link that leads out of the folder: its path, what it says, its device and inode."""
        for root, name, _ in self._entries():
            path = Path(root) / name
            with contextlib.suppress(OSError):
                if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(self.folder):
                    status = path.lstat()
                    yield path, str(path.readlink()), (status.st_dev, status.st_ino)

    def _entries(self) -> Iterator[tuple[str, str, int]]:
        """Every entry: its folder's path, its name, and a descriptor of its folder. Links are not followed."""
        for root, folders, files, place in os.fwalk(self.folder, topdown=True, follow_symlinks=False):
            for name in (*folders, *files):
                yield root, name, place
