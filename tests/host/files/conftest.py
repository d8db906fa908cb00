import subprocess
from collections.abc import Iterator

import pytest

from tests.host.files.tree import Tree
from tests.repository import Repository


@pytest.fixture
def tree(repository: Repository) -> Iterator[Tree]:
    tree = Tree(repository)
    yield tree
    # pytest can't remove what lies too deep, and would fail at the end of a later run.
    subprocess.run(["rm", "-rf", tree.kept.parent], check=True)
