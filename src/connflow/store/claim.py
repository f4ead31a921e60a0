"""Claims: who is making an artifact right now, so that nobody makes it twice.

A claim is a small file beside the artifacts. Its owner renews it; one that is not renewed is taken
over. A lost claim costs time, never truth: the commit does not depend on it.
"""

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from connflow.store.files import Files

Token = dict[str, str | int | float]

RENEW_EVERY_S = 10.0
STALE_AFTER_S = 60.0
LONGEST_POLL_S = 2.0

_held: set[str] = set()  # ids of the claims that this process holds now


@contextmanager
def claimed(
    files: Files, path: str, is_made: Callable[[], bool], on_wait: Callable[[str], None]
) -> Iterator[bool]:
    """Hold a claim, or wait until another owner has made what it is for.

    Parameters
    ----------
    files, path
        Where the claim lies.
    is_made
        Whether the artifact is there by now.
    on_wait
        Told, once, whom we wait for.

    Yields
    ------
    bool
        True if the claim is ours and the artifact is to be made; False if somebody made it.
    """
    token = _describe_us()
    _held.add(str(token["id"]))
    try:
        if _acquire(files, path, token, is_made, on_wait):
            with _renewing(files, path, token):
                yield not is_made()
        else:
            yield False
    finally:
        _held.discard(str(token["id"]))  # dead from now on, even where it cannot be removed
        _release(files, path, token)


@contextmanager
def _renewing(files: Files, path: str, token: Token) -> Iterator[None]:
    stop = threading.Event()
    renewer = threading.Thread(
        target=_keep_renewing, args=(files, path, token, stop), name="connflow-claim", daemon=True
    )
    renewer.start()
    try:
        yield
    finally:
        stop.set()
        renewer.join()


def owner_of(content: bytes) -> str:
    """Return who holds a claim, for people to read."""
    try:
        claim = json.loads(content)
        return f"process {claim['pid']} on {claim['host']}"
    except (ValueError, KeyError, TypeError):
        return "another run"


def _describe_us() -> Token:
    return {"host": platform.node(), "pid": os.getpid(), "id": uuid.uuid4().hex}


def _acquire(
    files: Files,
    path: str,
    token: Token,
    is_made: Callable[[], bool],
    on_wait: Callable[[str], None],
) -> bool:
    poll_s, has_told = 0.05, False
    seen, seen_at = b"", time.monotonic()
    while not is_made():
        if files.write_new(path, _content(token)):
            return True
        held = files.read_if_there(path)
        if held != seen:
            seen, seen_at = held, time.monotonic()
        if held and (is_dead(held) or time.monotonic() - seen_at > STALE_AFTER_S):
            break_claim(files, path, held)
            continue
        if held and not has_told:
            on_wait(owner_of(held))
            has_told = True
        time.sleep(poll_s)
        poll_s = min(2 * poll_s, LONGEST_POLL_S)
    return False


def _content(token: Token) -> bytes:
    return json.dumps(token | {"renewed": time.time()}).encode()


def _keep_renewing(files: Files, path: str, token: Token, stop: threading.Event) -> None:
    while not stop.wait(RENEW_EVERY_S):
        with suppress(OSError):  # a store that is away for a while: the claim may go stale
            if _is_ours(files, path, token):
                files.write(path, _content(token))


def _release(files: Files, path: str, token: Token) -> None:
    with suppress(OSError):
        if _is_ours(files, path, token):
            files.remove(path)


def _is_ours(files: Files, path: str, token: Token) -> bool:
    return str(token["id"]).encode() in files.read_if_there(path)


def is_dead(content: bytes) -> bool:
    """Whether the owner was a process of this host that is gone, or is through with it."""
    try:
        claim = json.loads(content)
        if claim["host"] != platform.node():
            return False
        if claim["pid"] == os.getpid():
            return claim["id"] not in _held
        os.kill(int(claim["pid"]), 0)
    except ProcessLookupError:
        return True
    except (ValueError, KeyError, TypeError, PermissionError):
        return False
    return False


def break_claim(files: Files, path: str, seen: bytes) -> None:
    """Remove a claim that nobody renews; of several who try, one removes this very claim."""
    if not files.is_local:
        if files.read_if_there(path) == seen:
            files.remove(path)
        return
    grave = Path(f"{path}.{uuid.uuid4().hex}")
    with suppress(FileNotFoundError):
        Path(path).rename(grave)
        if grave.read_bytes() != seen:  # it was renewed, or another's, in the last moment
            with suppress(FileExistsError):
                Path(path).hardlink_to(grave)
        grave.unlink()
