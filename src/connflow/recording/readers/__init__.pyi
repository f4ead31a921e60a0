from ._read import read_recording
from ._source import content_digest

__all__ = [
    "content_digest",
    "read_recording",
]
