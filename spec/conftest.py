from collections.abc import Iterator
from pathlib import Path

import pytest

from .orchestrator import NAME, Orchestrator, find
from .project import Project


def pytest_configure() -> None:
    if find() is None:
        raise pytest.UsageError(
            f"nothing to test: ORCHESTRATOR_BIN must name an executable; when it is not set, {NAME} must be installed"
            " beside the running Python or on PATH"
        )


def pytest_report_header() -> str:
    return f"orchestrator: {find()}"


@pytest.fixture(scope="session")
def orchestrator() -> Orchestrator:
    binary = find()
    assert binary is not None
    return Orchestrator(binary)


@pytest.fixture
def project(orchestrator: Orchestrator, tmp_path: Path) -> Iterator[Project]:
    project = Project(orchestrator, tmp_path)
    yield project
    project.close()
