"""Benchmarks: each figure beside a baseline measured in the same run, because machines are noisy."""

import os

#: Added to every port: a benchmark's stack runs beside the one of `make up`.
OFFSET = int(os.environ.get("STACK_OFFSET", "300"))
