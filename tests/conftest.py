"""Fixtures for all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_DEFAULT_SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real recordings; a test that asks for it skips where the folder is absent."""
    folder = Path(os.environ.get("CONNFLOW_SHARED_DATA", _DEFAULT_SHARED_DATA))
    if not folder.is_dir():
        pytest.skip(
            f"REAL DATA NOT TESTED: there is no folder {folder}; set CONNFLOW_SHARED_DATA to the "
            "one that holds the real recordings"
        )
    return folder


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server of our own for all tests that run flows."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=200):
        yield
