"""Remembers which visitors got an error for a path, so that the errors of one who asks again are told apart."""

MOST = 1000
"""Visitors of all paths together. If there are more, it begins anew: that is no single visitor any more."""


class Retries:
    """`by_path` is empty while nobody has failed."""

    __slots__ = ("_number", "by_path")

    def __init__(self) -> None:
        self.by_path: dict[bytes, set[int]] = {}
        self._number = 0

    def failed(self, path: bytes, visitor: int) -> bool:
        """Returns whether the visitor has asked before, and has got nothing but errors since."""
        if visitor in self.by_path.get(path, ()):
            return True
        if self._number >= MOST:
            self.by_path.clear()
            self._number = 0
        self.by_path.setdefault(path, set()).add(visitor)
        self._number += 1
        return False

    def answered(self, path: bytes, visitor: int) -> None:
        visitors = self.by_path.get(path)
        if visitors and visitor in visitors:
            visitors.remove(visitor)
            self._number -= 1
            if not visitors:
                del self.by_path[path]
