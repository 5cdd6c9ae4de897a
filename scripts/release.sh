#!/usr/bin/env bash
# What has to hold before a release: wheel and source distribution build, their metadata is valid, and
# both install and run in fresh environments, away from this source tree, with the oldest NumPy and with
# the newest.
#
#   bash scripts/release.sh                                  every supported Python that is found
#   PYTHONS="python3.11 python3.13" bash scripts/release.sh
#   NUMPYS=1.26 PYTHONS=python3.11 bash scripts/release.sh   with that version of NumPy alone
#
# NumPy 1.26 does not exist for Python 3.13. The wheel is installed into an environment of its own, what
# it needs with it; the source distribution then takes its place.
# The files are left in dist/; uploading them is up to you. An environment takes about 2 GB while it is
# tested (TMPDIR says where) and is removed afterwards.
set -euo pipefail
# shellcheck source=scripts/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

make_venv
install_package "dev"
cd "$root"
version=$("$venv/bin/python" -c 'import gmmvi_ext; print(gmmvi_ext.__version__)')
tag=$(git describe --exact-match --tags 2>/dev/null || true)
[ -z "$tag" ] || [ "$tag" = "v$version" ] || fail "the tag is $tag, the package says $version."
grep -q "^## $version" CHANGELOG.md || echo "note: CHANGELOG.md has no section '## $version' yet."

rm -rf dist build
"$venv/bin/python" -m build --outdir dist . >/dev/null
"$venv/bin/python" -m twine check --strict dist/*

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# check PYTHON NUMPY: both distributions in a fresh environment, one after the other.
check() {
  fresh="$scratch/fresh"
  "$1" -m venv --clear "$fresh"
  wanted=()
  [ "$2" = newest ] || wanted=("numpy==$2.*")
  for file in "$root"/dist/*.whl "$root"/dist/*.tar.gz; do
    echo "$(python_version "$1"), NumPy $2, ${file##*/}"
    replace=()
    [ "${file##*.}" = whl ] || replace=(--force-reinstall --no-deps)
    "$fresh/bin/python" -m pip install --quiet --disable-pip-version-check \
      "${replace[@]}" "$file" "${wanted[@]}"
    "$fresh/bin/python" -m pip check >"$scratch/pip.txt" || fail "$(cat "$scratch/pip.txt")"
    (cd "$scratch" && try)
  done
  rm -rf "$fresh"
}

# What a newcomer runs first, with the package in $fresh.
try() {
  "$fresh/bin/gmmvi-ext" doctor >doctor.txt 2>&1 || fail "$(cat doctor.txt)"
  rm -rf coin
  "$fresh/bin/gmmvi-ext" run --config coin --workdir coin >coin.txt 2>&1 || fail "$(cat coin.txt)"
  grep -q "^TRUST" coin.txt || fail "$(cat coin.txt)"
  "$fresh/bin/python" - "$root" <<'PY'
import pathlib, sys
import gmmvi_ext, numpy, tensorflow
from importlib.metadata import files

place = pathlib.Path(gmmvi_ext.__file__).resolve()
assert not place.is_relative_to(sys.argv[1]), f"{place} is the source tree"
names = {str(file) for file in files("gmmvi_ext")}
assert any(name.endswith("licenses/LICENSE") for name in names), "no license in the wheel"
assert "gmmvi_ext/py.typed" in names, "no py.typed in the wheel"
print(f"  runs with NumPy {numpy.__version__}, TensorFlow {tensorflow.__version__}")
PY
}

for name in ${PYTHONS:-python3.11 python3.12 python3.13}; do
  if ! python=$(resolve "$name"); then
    echo "$name: not found, left out"
    continue
  fi
  for numpy in ${NUMPYS:-1.26 newest}; do
    if [ "$numpy" = 1.26 ] && [ "$(python_version "$python")" = 3.13 ]; then continue; fi
    check "$python" "$numpy"
  done
done
echo "Ready: $(ls dist | tr '\n' ' ')"
