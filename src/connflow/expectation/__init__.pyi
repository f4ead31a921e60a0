from .assumptions import is_alike, state_assumptions, tabulate
from .foretelling import foretell, foretell_scores
from .looks import SCORES, Judged, count_found, judge, look_at
from .matching import choose_stand_ins, design_networks, match_activity
from .measures import Measures, measure_fluorescence, measure_shared, measure_spikes
from .params import EXPECTATION_VERSION, ExpectationParams
from .regularity import allow_for_regularity
from .standin import StandIn

__all__ = [
    "EXPECTATION_VERSION",
    "SCORES",
    "ExpectationParams",
    "Judged",
    "Measures",
    "StandIn",
    "allow_for_regularity",
    "choose_stand_ins",
    "count_found",
    "design_networks",
    "foretell",
    "foretell_scores",
    "is_alike",
    "judge",
    "look_at",
    "match_activity",
    "measure_fluorescence",
    "measure_shared",
    "measure_spikes",
    "state_assumptions",
    "tabulate",
]
