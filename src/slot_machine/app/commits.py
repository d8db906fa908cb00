"""What people know commits by. Git is asked once for each, because `status` tells it often."""

from collections import OrderedDict
from collections.abc import Iterable

from slot_machine.app.failures import going_on
from slot_machine.app.seams import Trees
from slot_machine.core.model import short
from slot_machine.core.origin import Description
from slot_machine.state.store import Store

MOST = 100
NOTHING = Description()


class Commits:
    def __init__(self, trees: Trees, store: Store) -> None:
        self._trees = trees
        self._store = store
        self._known: OrderedDict[str, Description] = OrderedDict()

    def known(self, commit: str) -> Description:
        """Without asking git: what it said before, else what the history says. Raises nothing."""
        if not commit:
            return NOTHING
        if found := self._known.get(commit):
            return found
        with going_on(f"cannot read the subject of {short(commit)}"):
            return Description(*self._store.described(commit))
        return NOTHING

    def ref(self, commit: str) -> str:
        """The branch or tag by which the commit was last asked for; empty if it never was. Raises nothing."""
        with going_on(f"cannot read the ref of {short(commit)}"):
            return self._store.ref(commit) if commit else ""
        return ""

    async def learn(self, commits: Iterable[str]) -> None:
        """Raises nothing."""
        for commit in commits:
            await self.of(commit)

    async def of(self, commit: str) -> Description:
        """Raises nothing: no deploy fails because of it."""
        if commit not in self._known:
            with going_on(f"cannot tell the subject of {short(commit)}"):
                self._known[commit] = await self._trees.describe(commit)
            if len(self._known) > MOST:
                self._known.popitem(last=False)
        return self.known(commit)
