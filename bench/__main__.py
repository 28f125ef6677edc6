"""`make bench` runs all benchmarks; `python -m bench NAME` some of them."""

import sys

from bench import callable as callables
from bench import campaign, cohort, cold_start, detect, erase, images, ledger, seal_stream, sweep

BENCHES = {
    "seal-stream": seal_stream.run,
    "images": images.run,
    "erase": erase.run,
    "callable": callables.run,
    "tlog": ledger.run,
    "detect": detect.run,
    "cohort": cohort.run,
    "campaign": campaign.run,
    "sweep": sweep.run,
    "cold-start": cold_start.run,
}


def main() -> int:
    """Run the named benchmarks; answer the exit code."""
    chosen = sys.argv[1:] or list(BENCHES)
    if unknown := set(chosen) - set(BENCHES):
        print(f"no benchmark is named {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    for name in chosen:
        for line in BENCHES[name]():
            print(f"bench {line}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
