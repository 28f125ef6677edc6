#!/bin/sh
# Run this repository's own Python with the arguments given: `sh shared/python.sh shared/vendor.py FOLDER`.
# The deployer's python3 may be any, or none; the hooks of a deployment need the one that set-up made.
python="$(dirname "$0")/../.venv/bin/python"
if [ ! -x "$python" ]; then
  echo "the repository is not set up: run \`make setup\`, then deploy again" >&2
  exit 1
fi
exec "$python" "$@"
