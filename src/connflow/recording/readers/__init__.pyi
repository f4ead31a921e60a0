from ._read import read_recording
from ._source import content_digest, open_source

__all__ = [
    "content_digest",
    "open_source",
    "read_recording",
]
