#!/usr/bin/env bash
# Builds the site into docs/_build/html, tutorials executed, warnings as errors; arguments go to Sphinx.
# Nothing outside is asked: once the environment is installed this works offline.
#
#   bash scripts/docs.sh
#   EXECUTE=off bash scripts/docs.sh     without running the tutorials (their cells, no outputs)
set -euo pipefail
# shellcheck source=scripts/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

make_venv
install_package "docs"
cd "$root"
export GMMVI_EXT_DOCS_EXECUTION="${EXECUTE:-cache}"
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}"
"$venv/bin/python" -m sphinx -W --keep-going -b html "$@" docs docs/_build/html
echo "The site: $root/docs/_build/html/index.html"
