"""Evaluation: scores of inferred connectivity against a known wiring, each beside its chance level.

In: z, weight and mask (source, target) and the true signed weights. Out: a table of scores, and the
ROC and precision-recall curves. The diagonal is left out. A score that the wiring does not allow
(no inhibitory synapse, say) is absent from the table.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
