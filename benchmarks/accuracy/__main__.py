"""``python -m benchmarks.accuracy``: run what is missing, then write the page and its pictures."""

import argparse
from pathlib import Path

from benchmarks._measure import print_header
from benchmarks.accuracy.cases import CASES, Case
from benchmarks.accuracy.kept import Results
from benchmarks.accuracy.run import run_case

WORK = Path("store/benchmarks")
PAGE = Path("docs/connectivity-benchmark.md")
MEASURED = PAGE.parent / "benchmark"


def main() -> None:
    """Read the command line, run, write."""
    options = _parse()
    chosen = _choose(options)
    print_header("accuracy of connectivity inference")
    measured = options.work / "quick" / MEASURED.name if options.quick else MEASURED
    results, real = Results(measured / "results.jsonl"), measured / "real.json"
    for name, case in chosen.items():
        seconds = case.cpu_s * options.seeds
        print(f"{name}: {options.seeds} seeds, about {seconds / 60:.0f} CPU min in all", flush=True)
        if not options.page_only:
            only = tuple(options.methods.split(",")) if options.methods else ()
            run_case(name, case, range(options.seeds), results, options.work / "spikes", only)
    if options.real and not options.page_only:
        from benchmarks.accuracy.real import run_real

        run_real(real)
    from benchmarks.accuracy.page import write_page

    page = measured.parent / PAGE.name
    cases = {name: case.shortened() for name, case in CASES.items()} if options.quick else CASES
    write_page(page, cases, results, real, options.seeds)
    print(f"wrote {page}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.accuracy", description=__doc__)
    known = ", ".join(CASES)
    parser.add_argument(
        "--cases", help=f"comma-separated, all if empty, the slow ones last: {known}"
    )
    parser.add_argument("--methods", help="comma-separated contenders, all if empty")
    parser.add_argument("--seeds", type=int, default=5, help="networks a case")
    parser.add_argument("--quick", action="store_true", help="a tenth of each case, elsewhere")
    parser.add_argument("--no-real", dest="real", action="store_false", help="simulated cases only")
    parser.add_argument("--page-only", action="store_true", help="write the page, measure nothing")
    parser.add_argument("--work", type=Path, default=WORK, help="where simulated spikes are kept")
    return parser.parse_args()


def _choose(options: argparse.Namespace) -> dict[str, Case]:
    names = options.cases.split(",") if options.cases else list(CASES)
    if unknown := set(names).difference(CASES):
        raise SystemExit(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    return {name: CASES[name].shortened() if options.quick else CASES[name] for name in names}


if __name__ == "__main__":
    main()
