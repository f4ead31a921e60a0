"""The names in a store: of files in an artifact's folder, and of folders beside the steps'."""

import re

MANIFEST = "manifest.json"
DROPPED = "dropped.json"  # the manifest of an artifact whose files are gone
CACHE_RECORD = "result.json"  # the scheduler's; its path below the root is the cache key

STAGING = ".staging"
CLAIMS = ".claims"

KEY = re.compile("[0-9a-f]{64}")

PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth")
"""Endings of files that run the code they hold when they are read."""
