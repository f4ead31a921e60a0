"""Names of staging folders: they say who writes there, so that what a dead writer left is known."""

import os
import platform
import re
import uuid

_NAME = re.compile(r"[a-z][a-z0-9_]*-[0-9a-f]{8}-(.+)-(\d{1,7})-[0-9a-f]{32}(-remnant)?")


def staging_name(step: str, short_key: str) -> str:
    """Return a name that nobody else takes: step, key, host, process, and random digits."""
    return f"{step}-{short_key}-{_host()}-{os.getpid()}-{uuid.uuid4().hex}"


def is_abandoned(name: str) -> bool:
    """Whether the writer of a staging folder was a process of this host that is gone."""
    parts = _NAME.fullmatch(name)
    if parts is None or parts[1] != _host():
        return False
    try:
        os.kill(int(parts[2]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, and belongs to somebody else
        return False
    return False


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", platform.node()) or "unknown"
