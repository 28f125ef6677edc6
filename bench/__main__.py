"""`make bench` runs all benchmarks; `python -m bench NAME` some of them."""

import os
import signal
import sys

from bench import apart, campaign, cohort, cold_start, detect, erase, images, ledger, seal_stream, sweep
from bench import callable as callables

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
#: Seconds a benchmark may take. The longest takes some ten minutes; COHORT_USERS=1000000 needs more.
_TIMEOUT = float(os.environ.get("BENCH_TIMEOUT", "3600"))
_HERE = "--here"


def main() -> int:
    """Run the named benchmarks, each in a process of its own; return the exit code."""
    here = sys.argv[1:2] == [_HERE]
    chosen = sys.argv[1 + here :] or list(BENCHES)
    if unknown := set(chosen) - set(BENCHES):
        print(f"no benchmark is named {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    if not here:
        return apart.run_all({name: [sys.executable, "-m", "bench", _HERE, name] for name in chosen}, _TIMEOUT)
    # A job in the background inherits that SIGINT is ignored: one whose time is up must stop its stack all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in chosen:
        for line in BENCHES[name]():
            print(f"bench {line}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
