"""Parameters of the changepoint step."""

from typing import Literal, Self

from pydantic import Field, model_validator

from connflow.params import StepParams

CHANGEPOINT_VERSION = 2

EmissionName = Literal[
    "poisson",
    "negative_binomial",
    "gaussian_mean",
    "gaussian_mean_variance",
    "categorical",
    "bernoulli",
]
SurrogateName = Literal["trial_shuffled", "spike_shuffled", "simulated", "circular_shift"]


class ChangepointParams(StepParams):
    """How changepoints of population activity are found."""

    emission: EmissionName = Field(
        "poisson",
        description="What a state says of a bin. poisson, negative_binomial: counts. bernoulli: at "
        "most one spike a bin. categorical: which of the units fired. gaussian_mean, "
        "gaussian_mean_variance: any values.",
    )
    n_states: int | None = Field(
        None, ge=1, description="Number of states; chosen by evidence if empty."
    )
    max_states: int = Field(
        8, ge=1, description="Most states that are tried where n_states is empty."
    )
    sequence: Literal["all", "skipping"] = Field(
        "all",
        description="all: every trial goes through all states. skipping: a Dirichlet process over "
        "dwell times, in which a trial may leave states out; n_states or max_states is its most.",
    )
    concentration: float = Field(
        1.0, gt=0, description="sequence=skipping: of the Dirichlet process; more states if larger."
    )
    transition: Literal["step", "gradual"] = Field(
        "step",
        description="step: rates change from one bin to the next. gradual (poisson): they cross "
        "over along a sigmoid whose width is chosen by evidence.",
    )
    widths_bins: tuple[float, ...] = Field(
        (0.5, 1.0, 2.0),
        min_length=1,
        description="transition=gradual: widths of the sigmoid that are tried, bins.",
    )
    min_dwell_bins: int = Field(1, ge=1, description="Fewest bins that a state lasts.")
    timing: Literal["learned", "uniform"] = Field(
        "learned",
        description="learned: when states are left is learned from all trials. uniform: every way "
        "to cut a trial is as likely as any other.",
    )
    pooling: Literal["shared", "hierarchical", "separate"] = Field(
        "hierarchical",
        description="Rates of trials of different conditions. shared: the same. hierarchical "
        "(poisson; others: as separate): different, around a common one. separate: each its own.",
    )
    n_trial_blocks: int = Field(
        1,
        ge=1,
        description="Blocks of successive trials with rates of their own, for slow drift; where "
        "they end is inferred.",
    )
    inference: Literal["vb", "gibbs"] = Field(
        "vb",
        description="vb: variational Bayes, fast. gibbs: sampling, intervals that hold for few "
        "trials too. One trial alone is done exactly, whichever is asked for (not with skipping, "
        "gradual, negative_binomial or gaussian_mean).",
    )
    n_restarts: int = Field(
        6, ge=1, description="Starting points; the best of them is taken to the end."
    )
    max_iterations: int = Field(500, ge=1, description="Most iterations of variational Bayes.")
    n_draws: int = Field(
        1000, ge=0, description="Joint samples of all changepoints of a trial that are kept."
    )
    n_burn_in: int = Field(200, ge=0, description="inference=gibbs: sweeps before the first draw.")
    coverage: float = Field(0.9, gt=0, lt=1, description="Probability that intervals hold.")
    n_folds: int = Field(
        5,
        ge=0,
        description="Parts of the trials that are held out in turn, and foretold; 0: none.",
    )
    n_shuffles: int = Field(
        0,
        ge=0,
        description="Shuffles of the tests of each unit's responses to states and transitions, "
        "found without the unit; 1000 is good, 0: no tests.",
    )
    region: str | None = Field(None, description="Only units of this region; all if empty.")
    conditions: tuple[str, ...] = Field(
        (), description="Only trials of these conditions; all if empty."
    )
    surrogate: SurrogateName | None = Field(
        None, description="Fit surrogate trials, instead of those that were recorded."
    )
    seed: int = Field(0, ge=0, description="Seed of starting points, draws and surrogates.")

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.transition == "gradual" and self.emission != "poisson":
            raise ValueError(
                f"transition=gradual is for emission=poisson, not {self.emission}: only Poisson "
                "rates add up"
            )
        if self.transition == "gradual" and self.sequence == "skipping":
            raise ValueError("transition=gradual goes with sequence=all, not with skipping")
        if self.sequence == "skipping" and self.min_dwell_bins > 1:
            raise ValueError("sequence=skipping leaves states out, so min_dwell_bins must be 1")
        if self.inference == "gibbs" and self.n_draws == 0:
            raise ValueError("inference=gibbs needs draws: set n_draws, 1000 say")
        if any(width <= 0 for width in self.widths_bins):
            raise ValueError(f"widths_bins must be above 0, not {list(self.widths_bins)}")
        return self


class PageParams(StepParams):
    """What the page about changepoints is called."""

    title: str = Field("Changepoints", min_length=1, max_length=200, description="Title.")
    failures: dict[str, str] = Field(
        default_factory=dict,
        description="Why a session could not be fitted at all, by its name; a run of many fits "
        "fills this in.",
    )
