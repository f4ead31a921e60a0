"""What the speed claims of the README run: ``python -m benchmarks [name ...]``.

Tables go to standard output; nothing is asserted about time. Prefect's own log is kept down.
"""

import os

os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
