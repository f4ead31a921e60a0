"""The cases: recordings whose wiring is known, and the scores to reach on them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from connflow.binning import BinningParams, bin_spikes, count_bins
from connflow.calcium import CalciumParams, simulate_calcium
from connflow.recording.culture import (
    CultureParams,
    culture_fluorescence,
    simulate_culture_spikes,
)
from connflow.recording.model import FluorescenceRecording, Recording, SpikeRecording
from connflow.recording.network import NetworkParams, simulate_network

Network = NetworkParams | CultureParams


@dataclass(frozen=True)
class Case:
    """Recordings of one kind.

    Parameters
    ----------
    title, text : str
        What the page says of it.
    network : NetworkParams or CultureParams
        Wiring and duration; the seed is set by the run.
    kind
        What the contenders are given.
    simulate
        From `network` to spikes.
    image
        From the spikes, and `network`, to the recording that contenders are given; None if that
        is the spikes.
    reach : dict
        Scores to reach by our choice, by name.
    skip : tuple
        Contenders that are left out, because they would take too long.
    cpu_s : float
        Rough CPU time of a seed, all contenders, s.
    """

    title: str
    text: str
    network: Network
    kind: Literal["spikes", "fluorescence"] = "spikes"
    simulate: Callable[[Any], SpikeRecording] = simulate_network
    image: Callable[[SpikeRecording, Any], FluorescenceRecording] | None = None
    reach: dict[str, float] = field(default_factory=dict)
    skip: tuple[str, ...] = ()
    cpu_s: float = 60.0

    def record(self, seed: int, spikes: SpikeRecording) -> Recording:
        """Return what contenders are given of these spikes."""
        return spikes if self.image is None else self.image(spikes, self.seeded(seed))

    def seeded(self, seed: int) -> Network:
        """Return the network with this seed."""
        return self.network.model_copy(update={"seed": seed})

    def shortened(self) -> "Case":
        """Return a tenth of it, of at most 100 units, to try the machinery."""
        n_units = min(100, self.network.n_units)
        seconds = max(30.0, round(self.network.duration_s / 10))
        changes: dict[str, float] = {"n_units": n_units, "duration_s": seconds}
        if isinstance(self.network, NetworkParams):
            changes["weight_mean_mv"] = 0.8  # suits so few inputs
        network = self.network.model_copy(update=changes)
        title, text = f"{self.title}: shortened", "At most 100 units and a tenth of the time."
        return replace(self, title=title, text=text, network=network, reach={}, cpu_s=5.0)


def image_calcium(
    spikes: SpikeRecording, network: Network, frame_interval_s: float, params: CalciumParams
) -> FluorescenceRecording:
    """Return the fluorescence that a camera would record of these spikes."""
    binning = BinningParams(bin_size_s=frame_interval_s)
    counts = np.zeros((count_bins(spikes, binning), spikes.n_units), np.uint8)
    for start, block in bin_spikes(spikes, binning):
        counts[start : start + len(block)] = block
    given = params.model_copy(update={"seed": network.seed})
    blocks = [block for _, block in simulate_calcium(counts, frame_interval_s, given)]
    return FluorescenceRecording(
        fluorescence=np.concatenate(blocks),
        frame_rate_hz=1 / frame_interval_s,
        units=spikes.units,
        weights=spikes.weights,
    )


def simulate_with_nest(params: NetworkParams) -> SpikeRecording:
    """Run the very synapses of `params` in NEST, with NEST's own Poisson drive.

    NEST is GPL: it is imported here, in a benchmark, and nowhere in the library.
    """
    from benchmarks.bench_network import build_nest_network, import_nest

    nest = import_nest()
    ours = simulate_network(params.model_copy(update={"duration_s": 0.1}))  # for units and weights
    recorder = build_nest_network(nest, params)
    nest.rng_seed = params.seed + 1
    nest.Simulate(1e3 * (params.warmup_s + params.duration_s))
    steps = np.round(recorder.events["times"] * 10).astype(np.int64)
    steps -= round(1e4 * params.warmup_s) + 1
    units = (recorder.events["senders"] - 1).astype(np.int32)
    kept = (steps >= 0) & (steps < round(1e4 * params.duration_s))
    order = np.lexsort((units[kept], steps[kept]))
    return SpikeRecording(
        spike_times=steps[kept][order] / 1e4,
        spike_units=units[kept][order],
        units=ours.units,
        t_start=0.0,
        t_stop=params.duration_s,
        weights=ours.weights,
    )


_SLOW = ("both", "glm")  # each takes many times as long as the others

BRUNEL = NetworkParams(
    n_units=500,
    duration_s=60.0,
    fixed_in_degree=True,
    weight_mean_mv=1.0,
    weight_log_sd=0.0,
    inhibition_factor=6.0,
    external_rate_hz=840.0,
    external_weight_mv=1.0,
    delay_min_s=0.0015,
    delay_max_s=0.0015,
)
HETEROGENEOUS = NetworkParams(n_units=1000, duration_s=600.0, weight_mean_mv=0.44)
DEFAULT = NetworkParams(n_units=300, duration_s=1800.0)
COMMON = DEFAULT.model_copy(update={"common_drive_sd": 0.3, "common_drive_tau_s": 0.1})

_BRUNEL_TEXT = (
    "500 units (400 excitatory, 100 inhibitory), each with 40 excitatory and 10 inhibitory inputs "
    "of equal weight (1 mV, inhibition 6 times as strong) after 1.5 ms; 13 Hz, CV of intervals "
    "0.95. No method is told the delay."
)


def _longer(network: NetworkParams, duration_s: float) -> NetworkParams:
    return network.model_copy(update={"duration_s": duration_s})


def _calnet(noise_sd: float) -> Callable[[SpikeRecording, Network], FluorescenceRecording]:
    params = CalciumParams(tau_s=0.1, noise_sd=noise_sd, input_noise_sd=0.01, dropped_frames=100)
    return partial(image_calcium, frame_interval_s=0.001, params=params)


_CULTURE_TEXT = (
    "A culture as in the ChaLearn challenge: all units excitatory, near ones connected, synapses "
    "that depress, network bursts, scattered light, 50 frames a second, calcium of decay 1 s that "
    "saturates."
)

CASES: dict[str, Case] = {
    "brunel500-60s": Case(
        "Brunel network, N = 500, spikes, 60 s",
        _BRUNEL_TEXT,
        BRUNEL,
        reach={"precision_at_density": 0.92},
        skip=("both",),
        cpu_s=200,
    ),
    "brunel500-200s": Case(
        "Brunel network, N = 500, spikes, 200 s",
        _BRUNEL_TEXT,
        _longer(BRUNEL, 200.0),
        reach={"precision_at_density": 0.99},
        skip=_SLOW,
        cpu_s=150,
    ),
    "brunel500-nest-60s": Case(
        "The same in NEST, 60 s",
        "The synapses of the case above, simulated by NEST 3.10 with its own Poisson input.",
        BRUNEL,
        simulate=simulate_with_nest,
        reach={"precision_at_density": 0.92},
        skip=_SLOW,
        cpu_s=100,
    ),
    "n300-30min": Case(
        "Heterogeneous network, N = 300, spikes, 30 min",
        "300 units, 10 % connected, log-normal weights, delays of 1 to 3 ms; 6 Hz.",
        DEFAULT,
        cpu_s=150,
    ),
    "n300-common-30min": Case(
        "Common drive, N = 300, spikes, 30 min",
        "The same network; the rate of the external input to all units together wavers with a "
        "standard deviation of 30 % and a correlation time of 100 ms.",
        COMMON,
        reach={"auroc": 0.97, "average_precision": 0.91},
        cpu_s=200,
    ),
    "n500-seen50-30min": Case(
        "Half of the units seen, N = 250 of 500, spikes, 30 min",
        "500 units at 5 Hz (weights 0.62 mV, delays of 1 to 3 ms), of which a random half is "
        "recorded; the unseen half acts as common input.",
        NetworkParams(n_units=500, duration_s=1800.0, weight_mean_mv=0.62, observed_fraction=0.5),
        skip=_SLOW,
        cpu_s=100,
    ),
    "n500-seen20-30min": Case(
        "A fifth of the units seen, N = 100 of 500, spikes, 30 min",
        "The same network; a random fifth is recorded.",
        NetworkParams(n_units=500, duration_s=1800.0, weight_mean_mv=0.62, observed_fraction=0.2),
        cpu_s=60,
    ),
    "calnet-quiet-120s": Case(
        "calnet chain, calcium at 1 ms, noise .05, 120 s",
        "The Brunel network's spikes as calcium (decay 0.1 s, 1 kHz), noise of 0.05 of a spike. "
        "No method is told the decay or the delay.",
        _longer(BRUNEL, 120.0),
        "fluorescence",
        image=_calnet(0.05),
        reach={"auroc": 0.985, "precision_at_density": 0.865},
        skip=("gte", "sutera"),
        cpu_s=300,
    ),
    "calnet-noisy-120s": Case(
        "calnet chain, calcium at 1 ms, noise 1.0, 120 s",
        "The same with noise of a whole spike in each frame, calnet's own default.",
        _longer(BRUNEL, 120.0),
        "fluorescence",
        image=_calnet(1.0),
        reach={"auroc": 0.823, "precision_at_density": 0.468},
        skip=("gte", "sutera"),
        cpu_s=300,
    ),
    "gcamp6f-30min": Case(
        "GCaMP6f-like calcium, N = 300, 50 Hz, 30 min",
        "The heterogeneous network's spikes as calcium of decay 0.2 s (half in 0.14 s), 50 frames "
        "a second, noise of 0.05 of a spike. A frame is seven delays long.",
        DEFAULT,
        "fluorescence",
        image=partial(
            image_calcium, frame_interval_s=0.02, params=CalciumParams(tau_s=0.2, noise_sd=0.05)
        ),
        reach={"auroc": 0.90, "average_precision": 0.63},
        cpu_s=300,
    ),
    "culture300-1h": Case(
        "Bursting culture, N = 300, 50 Hz, 1 h",
        _CULTURE_TEXT,
        CultureParams(n_units=300, duration_s=3600.0),
        "fluorescence",
        simulate=simulate_culture_spikes,
        image=culture_fluorescence,
        cpu_s=400,
    ),
    "n1000-10min": Case(
        "Heterogeneous network, N = 1000, spikes, 10 min",
        "1000 units, 10 % connected (weights 0.44 mV, log-normal), delays of 1 to 3 ms; 4.6 Hz, "
        "asynchronous.",
        HETEROGENEOUS,
        reach={"average_precision": 0.70},
        skip=_SLOW,
        cpu_s=600,
    ),
    "n1000-1h": Case(
        "Heterogeneous network, N = 1000, spikes, 1 h",
        "The same for an hour.",
        _longer(HETEROGENEOUS, 3600.0),
        reach={"average_precision": 0.90},
        skip=_SLOW,
        cpu_s=1500,
    ),
    "culture1000-1h": Case(
        "Bursting culture, N = 1000, 50 Hz, 1 h",
        f"{_CULTURE_TEXT} The challenge's size.",
        CultureParams(n_units=1000, duration_s=3600.0),
        "fluorescence",
        simulate=simulate_culture_spikes,
        image=culture_fluorescence,
        cpu_s=1500,
    ),
}
