# Sourced by run.sh and test.sh: a virtual environment `.venv` at the top of the source tree, with the
# package installed in place. Nothing is installed again unless the package metadata changed.
#
#   PYTHON=python3.12   interpreter to make the environment with (default: a fitting one is looked for)

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv="$root/.venv"

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

python_version() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

is_supported() {
  case "$(python_version "$1")" in
    3.11 | 3.12 | 3.13) return 0 ;;
    *) return 1 ;;
  esac
}

# resolve NAME: a command that runs as a supported Python. A pyenv shim runs only the versions that are
# switched on; one that is installed but not switched on is found in pyenv's own folder.
resolve() {
  if is_supported "$1"; then
    printf '%s' "$1"
    return 0
  fi
  command -v pyenv >/dev/null 2>&1 || return 1
  for found in "$(pyenv root)"/versions/*/bin/"$1"; do
    if is_supported "$found"; then
      printf '%s' "$found"
      return 0
    fi
  done
  return 1
}

find_python() {
  if [ -n "${PYTHON:-}" ]; then
    resolve "$PYTHON" || fail "PYTHON=$PYTHON: not a Python 3.11, 3.12 or 3.13."
    return
  fi
  for candidate in python3 python3.12 python3.11 python3.13 python; do
    resolve "$candidate" && return
  done
  fail "No Python 3.11, 3.12 or 3.13 found; install one, or name it: PYTHON=/path/to/python."
}

make_venv() {
  # An environment that works is kept, unless PYTHON asks for another version.
  if [ -x "$venv/bin/python" ] && is_supported "$venv/bin/python" && [ -z "${PYTHON:-}" ]; then
    return 0
  fi
  python=$(find_python) || exit 1
  if [ "$(python_version "$python")" = "$(python_version "$venv/bin/python")" ]; then return 0; fi
  echo "Creating $venv with $python ..."
  "$python" -m venv --clear "$venv" ||
    fail "$python cannot create virtual environments; install its venv module (Debian: python3-venv)."
}

has_nvidia_driver() {
  [ -e /proc/driver/nvidia/version ] || nvidia-smi -L >/dev/null 2>&1
}

# install_package EXTRAS: installs the package with these extras (may be empty), and `cuda` where a
# driver is present.
install_package() {
  extras=$1
  if has_nvidia_driver; then extras="${extras:+$extras,}cuda"; fi
  stamp="$venv/.installed-${extras:-core}"
  wanted=$(cat "$root/setup.cfg" "$root/setup.py" "$root/pyproject.toml" | cksum)
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then return 0; fi
  echo "Installing gmmvi_ext${extras:+[$extras]} into $venv (the first time takes a few minutes) ..."
  rm -f "$stamp"
  "$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check \
    --root-user-action=ignore --editable "$root${extras:+[$extras]}" ||
    fail "Installing failed; the lines above say why. Run this command again once it is mended."
  printf '%s' "$wanted" >"$stamp"
}
