"""The accuracy benchmark: every method and its rivals on the same recordings, scored alike.

``python -m benchmarks.accuracy`` makes ``docs/connectivity-benchmark.md`` and its pictures. Cases
are in `cases`, contenders in `contenders` (ours) and `rivals`, scores in `scoring`, real recordings
in `real`, the page in `page` and `pictures`. Results are JSON lines in ``docs/benchmark``,
beside the pictures, so that the command can be stopped, resumed and extended, anywhere.
"""
