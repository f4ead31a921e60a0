from .blech import find_description
from .cutting import cut_trials
from .dataset import trials_from_dataset, trials_to_dataset
from .events import read_events
from .model import Trials
from .params import TRIALS_VERSION, TrialsParams
from .readers import read_trials

__all__ = [
    "TRIALS_VERSION",
    "Trials",
    "TrialsParams",
    "cut_trials",
    "find_description",
    "read_events",
    "read_trials",
    "trials_from_dataset",
    "trials_to_dataset",
]
