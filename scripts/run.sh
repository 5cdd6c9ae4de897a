#!/usr/bin/env bash
# Fits a posterior from a fresh clone; without arguments that of the breast-cancer data, about a
# minute on two cores after the installation. Flags go to `gmmvi-ext run`:
#
#   bash scripts/run.sh --config german_credit --seed 1
#   PYTHON=python3.12 bash scripts/run.sh
set -euo pipefail
# shellcheck source=scripts/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

make_venv
install_package ""

is_given() { # is_given NAME ARGUMENTS...: whether --NAME is among the arguments
  name=$1
  shift
  for argument in "$@"; do
    case "$argument" in "--$name" | "--$name="* | "-$name" | "-$name="*) return 0 ;; esac
  done
  return 1
}

defaults=()
if ! is_given resume "$@" && ! is_given help "$@"; then
  is_given config "$@" || defaults+=(--config "$root/configs/experiments/breast_cancer_auto.yml")
  if ! is_given workdir "$@"; then
    defaults+=(--workdir "$root/runs/$(date +%Y%m%d-%H%M%S)-$$")
  fi
fi
exec "$venv/bin/gmmvi-ext" run ${defaults[@]+"${defaults[@]}"} "$@"
