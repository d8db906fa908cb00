"""What can be asked of the daemon: a method for each route of its API."""

from collections.abc import Iterator, Sequence

from slot_machine.cli.link import Json as Json
from slot_machine.cli.link import Link


class Client(Link):
    """Every call raises Unreachable."""

    def status(self) -> Json:
        *_, last = self._call("GET", "/status", has="live_slot")
        return last

    def history(self, limit: int, *, jobs: bool) -> Json:
        """`entries` has the latest first."""
        *_, last = self._call("GET", f"/history?limit={limit}{'' if jobs else '&jobs=false'}", has="entries")
        return last

    def attempt(self, attempt_id: int | None) -> Json:
        """With its output; None is the last one that is no job and no crash."""
        *_, last = self._call("GET", f"/history/{'last' if attempt_id is None else attempt_id}", has="kind")
        return last

    def stats(self, since: str) -> Json:
        """`since` is what `core.moments` understands."""
        from urllib.parse import quote

        *_, last = self._call("GET", f"/stats?since={quote(since)}", has="counted")
        return last

    def top(self) -> Json:
        *_, last = self._call("GET", "/top", has="live_slot")
        return last

    def deploy(
        self,
        commit: str,
        *,
        setup: bool = False,
        if_changed: bool = False,
        by: str = "",
        message: str = "",
        ref: str = "",
        wait: bool = False,
        hold: bool = False,
        hold_after_release: bool = False,
        if_known: bool = False,
        detach: bool = False,
    ) -> Iterator[Json]:
        """Yields the progress; the last item is the reply. `ref` is the branch or tag that `commit` was found by.

        A very long one is cut: it is for the history only.
        """
        from slot_machine.core.origin import LONGEST_NAME

        wishes: Json = {
            "commit": commit,
            "setup": setup,
            "if_changed": if_changed,
            "ref": ref[:LONGEST_NAME],
            "wait": wait,
            "hold": hold,
            "hold_after_release": hold_after_release,
            "if_known": if_known,
            "detach": detach,
        }
        return self._call("POST", "/deploy", wishes | _asked(by, message))

    def push(
        self, updates: Sequence[Json], *, by: str = "", wait: bool = False, atomic: bool = False
    ) -> Iterator[Json]:
        """`updates` has `ref`, `old` and `new`. Yields the progress; the last item is the reply."""
        body: Json = {"updates": list(updates), "wait": wait, "atomic": atomic}
        return self._call("POST", "/push", body | _asked(by, ""))

    def rollback(self, to: str = "", *, by: str = "", message: str = "") -> Iterator[Json]:
        return self._call("POST", "/rollback", {"to": to} | _asked(by, message))

    def restart(self, *, by: str = "", message: str = "") -> Iterator[Json]:
        """If slot-machine.json has changed, the daemon reloads first."""
        return self._call("POST", "/restart", _asked(by, message))

    def promote(self, share: float = 100, *, by: str = "", message: str = "", detach: bool = False) -> Iterator[Json]:
        """`share` is in per cent of the visitors."""
        return self._call("POST", "/promote", {"share": share, "detach": detach} | _asked(by, message))

    def abort(self, *, by: str = "", message: str = "") -> Json:
        *_, last = self._call("POST", "/abort", _asked(by, message))
        return last

    def cancel(self, *, force: bool = False) -> Json:
        *_, last = self._call("POST", "/cancel", {"force": force})
        return last

    def reload(self) -> Json:
        *_, last = self._call("POST", "/reload", {})
        return last

    def test_notices(self) -> Json:
        """Takes as long as the slowest receiver."""
        *_, last = self._call("POST", "/notify/test", {})
        return last

    def run(self, program: str, process: str, *, previous: bool) -> Json:
        """`daemon_uid` is known afterwards."""
        *_, last = self._call("POST", "/run", {"program": program, "process": process, "previous": previous})
        return last

    def maintain(self, *, on: bool, message: str = "") -> Json:
        *_, last = self._call("POST", "/maintenance", {"on": on, "message": message})
        return last

    def env_file(self) -> Json:
        *_, last = self._call("GET", "/env_file")
        return last


def _asked(by: str, message: str) -> Json:
    """What every request says that begins an attempt: who asks, and why."""
    from slot_machine.cli import who

    return {"by": by or who.who(), "message": message, "job": who.job(), "inside": who.inside()}
