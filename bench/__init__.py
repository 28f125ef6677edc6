"""Benchmarks: each figure beside a baseline measured in the same run, because machines are noisy."""

import os

#: Added to every port: none of these is one of `make up` or of the tests, at whatever offset of theirs.
OFFSET = int(os.environ.get("STACK_OFFSET", "330"))
