#!/usr/bin/env bash
# What has to hold before a release: wheel and source distribution build, their metadata is valid, and
# both install and run in fresh environments, away from this source tree.
#
#   bash scripts/release.sh                                  every supported Python that is found
#   PYTHONS="python3.11 python3.13" bash scripts/release.sh
#   NUMPY=1.26 PYTHONS=python3.11 bash scripts/release.sh    with that version of NumPy
#
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

# check PYTHON FILE: installs FILE alone and runs what a newcomer runs first.
check() {
  fresh="$scratch/fresh"
  "$1" -m venv --clear "$fresh"
  "$fresh/bin/python" -m pip install --quiet --disable-pip-version-check "$2" ${NUMPY:+"numpy==$NUMPY.*"}
  (
    cd "$scratch"
    "$fresh/bin/gmmvi-ext" doctor >doctor.txt || { cat doctor.txt; exit 1; }
    "$fresh/bin/gmmvi-ext" run --config coin --workdir "$scratch/coin" >coin.txt 2>&1 ||
      { cat coin.txt; exit 1; }
    grep -q "^TRUST" coin.txt || { cat coin.txt; exit 1; }
    "$fresh/bin/python" - "$root" <<'PY'
import pathlib, sys
import gmmvi_ext, numpy, tensorflow
from importlib.metadata import files

place = pathlib.Path(gmmvi_ext.__file__).resolve()
assert not place.is_relative_to(sys.argv[1]), f"{place} is the source tree"
names = {str(file) for file in files("gmmvi_ext")}
assert any(name.endswith("licenses/LICENSE") for name in names), "no licence in the wheel"
assert "gmmvi_ext/py.typed" in names, "no py.typed in the wheel"
print(f"  NumPy {numpy.__version__}, TensorFlow {tensorflow.__version__}")
PY
  )
  rm -rf "$fresh" "$scratch/coin"
}

for name in ${PYTHONS:-python3.11 python3.12 python3.13}; do
  if ! python=$(resolve "$name"); then
    echo "$name: not found, left out"
    continue
  fi
  for file in dist/*.whl dist/*.tar.gz; do
    echo "$name ($(python_version "$python")), $file"
    check "$python" "$root/$file"
  done
done
echo "Ready: $(ls dist | tr '\n' ' ')"
