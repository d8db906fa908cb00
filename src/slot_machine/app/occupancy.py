"""Which trees have living processes, beside those of the live release: such a tree is not overwritten."""

from collections.abc import Callable, Iterable


class Occupancy:
    def __init__(self) -> None:
        self._askable: list[Callable[[int], Iterable[str]]] = []

    def ask(self, in_tree: Callable[[int], Iterable[str]]) -> None:
        """From here on, `in_tree` is asked as well: it returns what it has running in a tree, in words."""
        self._askable.append(in_tree)

    def of(self, tree: int) -> list[str]:
        """What runs in the tree, in words."""
        return [one for in_tree in self._askable for one in in_tree(tree)]
