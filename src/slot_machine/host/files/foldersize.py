"""Adds up the size of a folder. Also a program, because 100,000 files take a second of CPU time."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress


def walk(folder: str) -> Iterator[os.stat_result]:
    """The status of every file and folder below, as far as it is on the same file system. Skips what disappears."""
    device = os.lstat(folder).st_dev
    folders = [folder]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if status.st_dev != device:
                    continue
                yield status
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)


def main() -> None:
    """Prints the bytes and inodes of the folder in argument 1. Takes the uid and gid in arguments 2 and 3, if given.

    Does not count files with several hard links: package managers link them from a cache.
    """
    os.nice(10)
    if ids := [int(number) for number in sys.argv[2:]]:
        os.setgroups([])
        os.setgid(ids[1])
        os.setuid(ids[0])
    size = inodes = 0
    for status in walk(sys.argv[1]):
        if status.st_nlink == 1 or status.st_mode & 0o170000 == 0o040000:
            size += status.st_blocks * 512
            inodes += 1
    print(size, inodes)


if __name__ == "__main__":
    main()
