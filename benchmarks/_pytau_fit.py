"""PyTau's model of one taste, fitted by PyMC, and in what CPU time.

Run by a Python that has PyMC: ``python _pytau_fit.py counts.npz found.npz iterations published``.
PyTau itself is offered for PyMC 3 and old Pythons only, so that its model is built here from its
formulas: rates exponential, with the mean of the k-th equal part of the trials; changepoints
``sort(Beta(a, b))`` of the trial, a and b half-Cauchy of scale 3; states cross over along a sigmoid
of slope 1 a bin; full-rank ADVI. ``tuned`` starts changepoints evenly spread and uses Adam. Draws
are averaged trial by trial, as they should be. ``nuts`` samples instead.
"""

import sys
import time

import numpy as np
import pymc as pm
import pytensor.tensor as pt

SCALE = 3.0


def build(counts, n_states, is_tuned):
    """Return the model of counts (n_trials, n_bins, n_units)."""
    n_trials, n_bins, n_units = counts.shape
    parts = np.array_split(counts, n_states, axis=1)
    means = np.stack([part.mean(axis=(0, 1)) for part in parts]) + 0.01
    even = np.arange(1, n_states) / n_states
    at = np.arange(n_bins)
    with pm.Model() as model:
        rates = pm.Exponential("rates", 1 / means, shape=(n_states, n_units))
        a = pm.HalfCauchy("a", SCALE, shape=n_states - 1)
        b = pm.HalfCauchy("b", SCALE, shape=n_states - 1)
        start = np.tile(even, (n_trials, 1)) if is_tuned else None
        share = pm.Beta("share", a, b, shape=(n_trials, n_states - 1), initval=start)
        tau = pm.Deterministic("tau", (n_bins - 1) * pt.sort(share, axis=-1))
        later = pm.math.sigmoid(at[None, None] - tau[:, :, None])
        ones = np.ones((n_trials, 1, n_bins))
        begun = pm.math.concatenate([ones, later], axis=1)
        not_over = pm.math.concatenate([1 - later, ones], axis=1)
        weights = begun * not_over
        mean = (weights.dimshuffle(0, 2, 1)[:, :, :, None] * rates[None, None]).sum(axis=2)
        pm.Poisson("counts", mean, observed=counts)
    return model


def fit(model, n_iterations, is_tuned):
    """Return draws, and the CPU seconds of fitting, compiling left out."""
    with model:
        inference = pm.FullRankADVI(random_seed=0)
        optimiser = {"obj_optimizer": pm.adam(learning_rate=0.001)} if is_tuned else {}
        inference.fit(5, progressbar=False, **optimiser)
        started = time.process_time()
        inference.refine(n_iterations - 5, progressbar=False)
        cpu_s = time.process_time() - started
        draws = inference.approx.sample(1000, random_seed=0, return_inferencedata=False)
    return draws, cpu_s


def sample(model):
    """Return draws of NUTS, and its CPU seconds."""
    with model:
        started = time.process_time()
        draws = pm.sample(
            1000,
            tune=1000,
            chains=2,
            cores=1,
            random_seed=0,
            progressbar=False,
            return_inferencedata=False,
        )
        return draws, time.process_time() - started


def main(given_path, found_path, n_iterations, how):
    """Fit and write posterior means, 90 % intervals of changepoints, rates, CPU seconds."""
    given = np.load(given_path)
    counts, n_states = given["counts"].astype(int), int(given["n_states"])
    model = build(counts, n_states, how != "published")
    if how == "nuts":
        draws, cpu_s = sample(model)
    else:
        draws, cpu_s = fit(model, int(n_iterations), how == "tuned")
    tau = np.asarray(draws["tau"])
    low, high = np.quantile(tau, (0.05, 0.95), axis=0)
    rates = np.asarray(draws["rates"]).mean(axis=0)
    np.savez(found_path, mean=tau.mean(axis=0), low=low, high=high, rates=rates, cpu_s=cpu_s)


if __name__ == "__main__":
    main(*sys.argv[1:])
