"""Empty stores on every kind of file system."""

import uuid

import pytest

from connflow.store import Store


@pytest.fixture
def local_store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture(params=["local", "memory", "rclone", "moto"])
def store(request, tmp_path):
    if request.param == "local":
        return Store(tmp_path / "store")
    if request.param == "memory":
        return Store(f"memory://connflow-{uuid.uuid4().hex}")
    return Store(request.getfixturevalue("enter_s3")(request.param))
