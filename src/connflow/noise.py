"""Normal noise that can be entered anywhere: sample k of a unit's stream is always the same.

Every sample takes one 32-bit number of the unit's stream, turned into a normal number by the
inverse distribution function. Rejection methods (the ziggurat) take a varying number of them, so
that the place of a sample in the stream would depend on all before it.
"""

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from connflow.blocks import split

_NUMBERS_AT_ONCE = 8192  # small enough for the heap, where memory is used again

_SEGMENT_BITS = 5  # segments per octave of probability: 2**5
_REST_BITS = 23 - _SEGMENT_BITS  # mantissa bits within a segment
_FIRST_EXPONENT, _LAST_EXPONENT = -1, 31  # of 0.5 and of 2**31


class NormalStreams:
    """Independent streams of normal numbers, one a unit.

    Parameters
    ----------
    seed, purpose : int
        Choose the streams: other noise of the same seed has another purpose.
    units : range
        Which units; the stream of a unit depends on its number, not on who else is asked for.
    sd : float
        Standard deviation.

    Examples
    --------
    >>> streams = NormalStreams(seed=1, purpose=0, units=range(3), sd=1.0)
    >>> late = streams.draw(slice(100, 105))
    >>> bool((streams.draw(slice(0, 105))[:, 100:] == late).all())
    True
    """

    def __init__(self, seed: int, purpose: int, units: range, sd: float) -> None:
        sequences = (np.random.SeedSequence([seed, purpose, unit]) for unit in units)
        self._generators = [np.random.PCG64DXSM(sequence) for sequence in sequences]
        self._position = 0  # of all generators, in 64-bit numbers: two samples each
        self._sd = np.float32(sd)

    def draw(self, samples: slice) -> NDArray[np.float32]:
        """Return the samples of a slice, shape (n_units, n_samples)."""
        first, skipped = divmod(samples.start, 2)
        last = -(-samples.stop // 2)
        normal = np.empty((len(self._generators), 2 * (last - first)), np.float32)
        for row, generator in zip(normal, self._generators, strict=True):
            generator.advance(first - self._position)
            for part in split(last - first, _NUMBERS_AT_ONCE):
                bits = generator.random_raw(part.stop - part.start).astype("<u8", copy=False)
                piece = row[2 * part.start : 2 * part.stop]
                _fill_normal(bits.view("<u4"), self._sd, _QUANTILES, piece)
        self._position = last
        return normal[:, skipped : skipped + samples.stop - samples.start]


def _fit_quantiles() -> NDArray[np.float32]:
    """Return a parabola a segment for the quantile of ``v / 2**32``, v from 0.5 to 2**31.

    The segments are those of the floating-point format: within one, v is linear in its last bits.
    """
    octaves = np.arange(_FIRST_EXPONENT, _LAST_EXPONENT, dtype=np.float64)
    steps = np.arange(2**_SEGMENT_BITS) / 2**_SEGMENT_BITS
    starts = (2.0 ** octaves[:, None] * (1 + steps)).ravel()
    widths = np.repeat(2.0 ** (octaves - _SEGMENT_BITS), 2**_SEGMENT_BITS)
    nodes = 0.5 + 0.5 * np.cos(np.pi * (np.arange(3) + 0.5) / 3)  # Chebyshev
    values = ndtri((starts[:, None] + widths[:, None] * nodes) / 2**32)
    parabolas = np.linalg.solve(np.vander(nodes, 3, increasing=True), values.T).T
    scaled = parabolas / (2.0**_REST_BITS) ** np.arange(3)
    return np.vstack([scaled, [[0, 0, 0]]]).astype(np.float32)  # the last: v is 2**31, the median


_QUANTILES = _fit_quantiles()


@numba.njit(cache=True, nogil=True)
def _fill_normal(
    bits: NDArray[np.uint32],
    sd: np.float32,
    quantiles: NDArray[np.float32],
    normal: NDArray[np.float32],
) -> None:
    for k in range(len(bits)):
        v = np.float32(np.int32(bits[k] >> np.uint32(1))) + np.float32(0.5)
        pattern = np.float32(v).view(np.int32)
        segment = (pattern >> _REST_BITS) - ((127 + _FIRST_EXPONENT) << _SEGMENT_BITS)
        rest = np.float32(pattern & ((1 << _REST_BITS) - 1))
        a, b, c = quantiles[segment, 0], quantiles[segment, 1], quantiles[segment, 2]
        below = sd * (a + rest * (b + rest * c))
        normal[k] = -below if bits[k] & np.uint32(1) else below
