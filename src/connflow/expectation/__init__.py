"""Expectation: what a result on a recording of unknown wiring is worth.

Networks that are like the recording are simulated, with wirings spread over what is assumed; the
same steps with the same parameters infer them; and from how well they do, and from how alike
their results look, follows how well the recording's own wiring was found.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
