#!/usr/bin/env bash
# Runs the tests in the environment that run.sh uses; arguments go to pytest:
#
#   bash scripts/test.sh
#   bash scripts/test.sh tests/config -k override
set -euo pipefail
invoked_from=$PWD
# shellcheck source=scripts/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

make_venv
install_package "dev"
cd "$root"
[ "$invoked_from" = "$root" ] || echo "Testing $root"
exec "$venv/bin/python" -m pytest "$@"
