"""Environment variables by which a service manager speaks with one process. They are for the daemon alone.

A server that finds NOTIFY_SOCKET would speak for the daemon, and one that finds LISTEN_FDS would use the wrong sockets.
"""

from collections.abc import Mapping

OF_ONE_PROCESS = frozenset(
    {
        # sd_notify(3), sd_watchdog_enabled(3)
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        # sd_listen_fds(3)
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_PIDFDID",
        # systemd.exec(5): what systemd tells the commands of a unit
        "FDSTORE",
        "MAINPID",
        "RUNTIME_DIRECTORY",
        "SYSTEMD_EXEC_PID",
    }
)


def without_manager(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in OF_ONE_PROCESS}
