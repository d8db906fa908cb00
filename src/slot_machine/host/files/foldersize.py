"""Adds up a folder. A program of its own, as a walk through 100,000 files keeps a core busy for a second."""

import os
import sys
from collections.abc import Iterator


def walk(folder: str) -> Iterator[os.stat_result]:
    """Whatever lies on the folder's file system and still exists when it is looked at."""
    device = os.lstat(folder).st_dev
    folders = [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if status.st_dev == device:
                        yield status
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
        except OSError:
            continue


def main() -> None:
    """Prints bytes and inodes of a folder, as the user with the uid and gid after it sees it, if there are any.

    Files with several names count nothing: they are linked from a cache of packages.
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
