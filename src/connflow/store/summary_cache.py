"""A cache of manifests' summaries, in a folder of the user's; it may be removed at any time.

One file of JSON lines for each step of each store. The first line holds a checksum of the others: a
file that is not as it was written counts as none.
"""

import hashlib
import json
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from connflow.store.environment import checksum_bytes

_SCHEMA = 1


def cache_folder(root: str) -> Path:
    """Return where the summaries of a store's manifests are kept.

    It is below ``$XDG_CACHE_HOME``, or else ``~/.cache``. Stores of one URL at several S3 endpoints
    are several stores.
    """
    place = f"{root} {os.environ.get('AWS_ENDPOINT_URL', '')}"
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    digest = hashlib.sha256(place.encode()).hexdigest()
    return Path(home).expanduser() / "connflow" / digest[:16]


def load_summaries(root: str, step: str) -> list[dict[str, Any]]:
    """Return the summaries that were kept; none if there are none, or if they cannot be read."""
    try:
        head, _, body = _file(root, step).read_bytes().partition(b"\n")
    except (OSError, RuntimeError):
        return []
    if head != _head(body):
        return []
    return [json.loads(line) for line in body.splitlines()]


def save_summaries(root: str, step: str, summaries: list[dict[str, Any]]) -> None:
    """Keep summaries, in one move; where that cannot be done, the next scan reads manifests."""
    body = "\n".join(json.dumps(item) for item in summaries).encode()
    with suppress(OSError, RuntimeError):
        _replace(_file(root, step), _head(body) + b"\n" + body)


def _file(root: str, step: str) -> Path:
    return cache_folder(root) / f"{step}.jsonl"


def _head(body: bytes) -> bytes:
    return json.dumps({"schema": _SCHEMA, "checksum": checksum_bytes(body)}).encode()


def _replace(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    try:
        aside.write_bytes(content)
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
