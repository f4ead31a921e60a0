"""Run benchmarks one after the other, each in a process of its own.

``python -m benchmarks`` runs all of them, ``python -m benchmarks network`` one. A benchmark's own
options: ``python -m benchmarks.bench_network --help``.
"""

import argparse
import subprocess
import sys

NAMES = (
    "network",
    "calnet_chain",
    "demo_flow",
    "store",
    "catalogue",
    "running",
    "blocks",
    "connectivity_speed",
    "changepoint",
)


def main() -> int:
    """Run the named benchmarks, all if none is named; return 1 if one failed."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    names = parser.parse_args().names or NAMES
    if unknown := set(names).difference(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return max(_run(name) for name in names)


def _run(name: str) -> int:
    done = subprocess.run([sys.executable, "-m", f"benchmarks.bench_{name}"], check=False)
    print(flush=True)
    return int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
