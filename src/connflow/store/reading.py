"""Reading arrays with every whole file checked against its checksum on the way."""

from collections.abc import Mapping
from typing import Any

from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from connflow.store.damage import damaged
from connflow.store.environment import checksum_bytes
from connflow.store.ref import ArtifactRef


class CheckedStore(WrapperStore[Store]):
    """A zarr store that raises where a file does not have its checksum.

    Parameters
    ----------
    store
        What is read from.
    checksums
        By file. A part of a file cannot be checked; the chunks inside a shard, which are read in
        parts, have checksums of their own.
    ref
        The artifact, named in the error.
    """

    def __init__(self, store: Store, checksums: Mapping[str, str], ref: ArtifactRef) -> None:
        super().__init__(store)
        self._checksums, self._ref = checksums, ref

    def _with_store(self, store: Store) -> "CheckedStore":
        return type(self)(store, self._checksums, self._ref)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a file, or a part of one."""
        content = await self._store.get(key, prototype, byte_range)
        if content is not None and byte_range is None and key in self._checksums:
            self._check(key, content.as_numpy_array())
        return content

    def _check(self, key: str, content: Any) -> None:
        if checksum_bytes(content) != self._checksums[key]:
            raise damaged(self._ref, f"{key} does not have its checksum any more")


def open_checked(
    place: str, is_local: bool, checksums: Mapping[str, str], ref: ArtifactRef
) -> CheckedStore:
    """Open a folder or URL of zarr data for checked reading."""
    store: Store
    if is_local:
        store = LocalStore(place, read_only=True)
    else:
        store = FsspecStore.from_url(place, read_only=True)
    return CheckedStore(store, checksums, ref)
