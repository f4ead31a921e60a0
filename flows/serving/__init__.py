"""A Prefect server of one's own, and what is deployed to it."""
