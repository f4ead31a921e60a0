"""Names of artifacts, and the derivation of their keys."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from connflow.errors import InvalidInputError

StepWord = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ArtifactRef(BaseModel):
    """The name of an artifact: the same on every machine, whatever the store's root.

    Examples
    --------
    >>> ref = ArtifactRef(step="binning", key="0" * 64)
    >>> str(ref)[:12]
    'binning/0000'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="artifact in the store")

    step: StepWord = Field(description="Step word, e.g. binning.")
    key: Key = Field(description="64 hexadecimal digits, derived from the work that made it.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a ref from ``step/key``.

        Raises
        ------
        InvalidInputError
            If the text has another form.
        """
        step, _, key = text.partition("/")
        try:
            return cls(step=step, key=key)
        except ValueError:
            raise InvalidInputError(
                f"an artifact ref reads step/key with 64 hexadecimal digits as key, not {text!r}"
            ) from None

    @property
    def short(self) -> str:
        """The first eight digits of the key, for names that people read."""
        return self.key[:8]

    def __str__(self) -> str:
        return f"{self.step}/{self.key}"


def derive_key(
    step: str, version: int, params: Mapping[str, Any], inputs: Mapping[str, str]
) -> str:
    """Return the key of the artifact that this work makes.

    Parameters
    ----------
    step, version
        Step word, and the version of its science.
    params
        The whole parameter model as JSON values, defaults spelled out.
    inputs
        For each input its name and ref, or the content digest of a file from outside.

    Returns
    -------
    str
        SHA-256, in hexadecimal, of the canonical JSON of the four.

    Examples
    --------
    >>> derive_key("binning", 1, {"bin_size_s": 0.01}, {})[:8]
    '44c64444'
    """
    work = {"step": step, "version": version, "params": params, "inputs": inputs}
    return hashlib.sha256(canonical_json(work).encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: keys sorted, no spaces, no NaN, no negative zero."""
    return json.dumps(
        _without_negative_zero(value),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )


def _without_negative_zero(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_negative_zero(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_negative_zero(item) for item in value]
    return value + 0.0 if isinstance(value, float) else value
