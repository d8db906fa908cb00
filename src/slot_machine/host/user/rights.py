"""The rights of commands: the account in `user`, and the umask with which the daemon was started.

Both concern the whole process. They are set once, at the start.
"""

import ctypes
import grp
import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypedDict

from slot_machine.core.errors import StartRefused

PRIVATE = 0o077
"""The daemon's own umask."""

KEPT = ("PATH", "LANG", "TZ")
"""These variables, and `LC_*`, pass from the daemon's environment to a clean one."""

NOBODY = 0xFFFFFFFF
"""Not a valid uid: with it, setfsuid(2) changes nothing and returns the present one."""

PR_GET_SECUREBITS = 27
NO_SETUID_FIXUP = 1 << 2
"""capabilities(7)"""

_libc = ctypes.CDLL(None)


class Account(NamedTuple):
    """A user with a group. `groups` are the supplementary ones. `name` is the uid if passwd has no entry."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str
    shell: str

    @property
    def is_ours(self) -> bool:
        return (self.uid, self.gid) == (os.geteuid(), os.getegid())

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """A clean environment, like that of sudo and systemd."""
        kept = {name: value for name, value in base.items() if name in KEPT or name.startswith("LC_")}
        return kept | {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell}


class Rights(TypedDict):
    """Arguments of Popen for the rights of a child process. None stands for the daemon's."""

    user: int | None
    group: int | None
    extra_groups: tuple[int, ...] | None
    umask: int


_account: Account | None = None
_umask = -1


def find(user: str, group: str) -> Account | None:
    """The account for the fields `user` and `group`. None if `user` is empty. Raises StartRefused."""
    if not user:
        if group:
            raise StartRefused('"group" is set without "user"', 'name the user as well, or remove "group"')
        return None
    account = account_of(user, group)
    if account.uid == os.geteuid() and (not group or account.gid == os.getegid()):
        return account._replace(gid=os.getegid(), groups=tuple(os.getgroups()))
    if os.geteuid():
        ours = account.uid == os.geteuid()
        what = f"group than its own: {group!r}" if ours else f"user than its own: {user!r}"
        raise StartRefused(
            f"only root can run commands as another {what}",
            f"start the daemon as root{'' if ours else f', or as {user}'}, or remove `user` and `group`",
        )
    return account


def begin(account: Account | None) -> None:
    """From now on, commands have the rights of `account`, and files of the daemon are private.

    Root changes its supplementary groups to those of the account, because they count in `acting`, too. Raises
    StartRefused.
    """
    global _account, _umask
    _account, _umask = account, os.umask(PRIVATE)
    if account and not account.is_ours:
        if _libc.prctl(PR_GET_SECUREBITS) & NO_SETUID_FIXUP:
            raise impossible(account, PermissionError(1, "the secure bits let root's capabilities outlive its uid"))
        try:
            os.setgroups(account.groups)
            with acting():
                pass
        except OSError as error:
            raise impossible(account, error) from None


def impossible(account: Account, error: OSError) -> StartRefused:
    what = f"cannot run commands as {account.name}: {error.strerror}"
    return StartRefused(
        what, "in a user namespace, only a mapped user can be named, and only by one that may set groups"
    )


def end() -> None:
    """Restores the umask before the process executes another image."""
    global _account, _umask
    if _umask >= 0:
        os.umask(_umask)
    _account, _umask = None, -1


def account() -> Account | None:
    """The account in `user`. None if it is not set."""
    return _account


def other() -> Account | None:
    """The account of commands if it is another one than the daemon's. None else."""
    return _account if _account and not _account.is_ours else None


def umask() -> int:
    """The umask of commands."""
    if _umask >= 0:
        return _umask
    current = os.umask(0)
    os.umask(current)
    return current


def make_folder(folder: Path) -> None:
    """Makes the folder and its parents, with the umask of commands. Raises OSError."""
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir()
        missing.chmod(0o777 & ~umask())


def make_theirs(folder: Path, mode: int) -> None:
    """Makes an empty folder that belongs to `user`, in a folder of the daemon. Raises OSError."""
    folder.mkdir(0o700)
    folder.chmod(mode)
    if theirs := other():
        os.chown(folder, theirs.uid, theirs.gid)


def of_child(user: Account | None) -> Rights:
    """For a child process with the rights of `user`, or of the daemon for None."""
    if not user:
        return Rights(user=None, group=None, extra_groups=None, umask=_umask)
    return Rights(user=user.uid, group=user.gid, extra_groups=user.groups, umask=_umask)


@contextmanager
def acting() -> Iterator[None]:
    """Inside, this thread accesses files with the rights of `user`. Also a decorator. Raises OSError.

    Linux keeps file system ids per thread, and drops the capabilities that override permissions if they are not root's
    (setfsuid(2), capabilities(7)). So a path that the user can change leads only to files that the user can reach.
    Nothing inside may start a process.
    """
    theirs = other()
    if not theirs:
        yield
        return
    before = _libc.setfsgid(theirs.gid), _libc.setfsuid(theirs.uid)
    try:
        if _libc.setfsuid(ctypes.c_uint(NOBODY)) != theirs.uid:
            raise PermissionError(1, "the kernel refuses its number")
        yield
    finally:
        _libc.setfsuid(before[1])
        _libc.setfsgid(before[0])


def account_of(user: str, group: str = "") -> Account:
    """Raises StartRefused."""
    entry = _passwd(user)
    if entry:
        gid = _gid(group) if group else entry.pw_gid
        shell = entry.pw_shell or "/bin/sh"
        groups = tuple(os.getgrouplist(entry.pw_name, gid))
        return Account(entry.pw_uid, gid, groups, entry.pw_name, entry.pw_dir or "/", shell)
    if not user.isdecimal():
        raise StartRefused(f"there is no user {user!r}", f"make one, such as by `useradd --system {user}`")
    uid = _number("user", user)
    return Account(uid, _gid(group) if group else uid, (), user, "/", "/bin/sh")


def _number(field: str, text: str) -> int:
    if (number := int(text)) >= NOBODY:
        raise StartRefused(f"{field} {text} is larger than any that the kernel has", f"name one below {NOBODY}")
    return number


def _passwd(user: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        return None


def _gid(group: str) -> int:
    if group.isdecimal():
        return _number("group", group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise StartRefused(f"there is no group {group!r}", "name one of `getent group`") from None
