"""One real server for the whole directory; tests that change much take accounts of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.testlib.server import Server, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("crymap") / "root"
    with running(root) as started:
        yield started
