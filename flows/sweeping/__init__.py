"""What the sweep flow is made of: its target, its trials, Optuna's study, its result."""
