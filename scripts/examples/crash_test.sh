#!/usr/bin/env bash
# Kills a run with SIGKILL at random moments, resumes it each time, and compares its end bit for bit
# with that of a run that was left alone:
#
#   bash scripts/examples/crash_test.sh                  20 kills, about five minutes on two cores
#   bash scripts/examples/crash_test.sh --kills 5 --seed 3 --folder /tmp/crash
#
# PYTHON=...: interpreter with gmmvi_ext (default: that of .venv, else `python`).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
default=$here/../../.venv/bin/python
[ -x "$default" ] || default=python
exec "${PYTHON:-$default}" "$here/_crash_test.py" "$@"
