"""Which trees have living processes, beside those of the live release: such a tree is not overwritten."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress


class Occupancy:
    def __init__(self) -> None:
        self._askable: list[Callable[[int], Iterable[str]]] = []
        self._emptying: list[tuple[Callable[[int], Iterable[str]], Callable[[int], Awaitable[None]]]] = []

    def ask(
        self, in_tree: Callable[[int], Iterable[str]], emptied: Callable[[int], Awaitable[None]] | None = None
    ) -> None:
        """From here on, `in_tree` is asked as well: it returns what it has running in a tree, in words.

        `emptied` waits until that has ended, if it was told to end.
        """
        self._askable.append(in_tree)
        if emptied:
            self._emptying.append((in_tree, emptied))

    async def emptied(self, tree: int, limit_s: float) -> None:
        """Waits for what was told to end in the tree."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                for _, emptied in self._emptying:
                    await emptied(tree)

    def of(self, tree: int) -> list[str]:
        """What runs in the tree, in words."""
        return [one for in_tree in self._askable for one in in_tree(tree)]

    def ending(self, tree: int) -> list[str]:
        """What was told to end in the tree, in words."""
        return [one for in_tree, _ in self._emptying for one in in_tree(tree)]
