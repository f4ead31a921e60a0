"""Log evidence and smoothed states of an HMM by dynamax, run by a Python that has it.

``python _dynamax_smoother.py given.npz found.npz``: initial (n_states,), transition (n_states,
n_states), log_likelihood (n_bins, n_states) in; log_evidence and states (n_bins, n_states) out.
"""

import sys

import jax
import numpy as np
from dynamax.hidden_markov_model import hmm_smoother

jax.config.update("jax_enable_x64", True)

given = np.load(sys.argv[1])
posterior = hmm_smoother(given["initial"], given["transition"], given["log_likelihood"])
np.savez(
    sys.argv[2],
    log_evidence=np.asarray(posterior.marginal_loglik),
    states=np.asarray(posterior.smoothed_probs),
)
