#!/usr/bin/env bash
# Runs the tests in the environment that run.sh uses, in two processes; arguments go to pytest:
#
#   bash scripts/test.sh
#   bash scripts/test.sh tests/config -k override
#   WORKERS=4 bash scripts/test.sh       in four processes; the whole suite takes up to 6 GiB in each
#   WORKERS=0 bash scripts/test.sh       in one, with all threads (for --pdb and -s)
set -euo pipefail
invoked_from=$PWD
# shellcheck source=scripts/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

make_venv
install_package "dev,test"
cd "$root"
[ "$invoked_from" = "$root" ] || echo "Testing $root"
WORKERS="${WORKERS:-2}"
if [ "$WORKERS" != 0 ]; then
  # Processes that each spread over all cores only get in each other's way.
  export TF_NUM_INTRAOP_THREADS="${TF_NUM_INTRAOP_THREADS:-1}"
  set -- -n "$WORKERS" --dist worksteal "$@"
fi
exec "$venv/bin/python" -m pytest "$@"
