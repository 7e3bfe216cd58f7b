#!/bin/sh
# The steps that make a service's folder, called by docker/Dockerfile in the folder of the sources:
#   install.sh dependencies LOCK        a virtual environment in VIRTUAL_ENV with exactly what the lock names
#   install.sh application [kernels] [fonts]   byte-code, and what would otherwise be made at every start
set -eu

python="$VIRTUAL_ENV/bin/python"

dependencies() {
  python -m venv --without-pip "$VIRTUAL_ENV"
  # Every version and hash stands in the lock; nothing is resolved, nothing is built.
  python -m pip --python "$python" install --quiet --no-compile --no-deps --only-binary :all: --require-hashes -r "$1"
  # Libraries' own tests and type stubs: a tenth of the size, never imported here.
  find "$VIRTUAL_ENV" -type d \( -name tests -o -name test \) -path '*/site-packages/*' -prune -exec rm -rf {} +
  find "$VIRTUAL_ENV" -type f -name '*.pyi' -delete
  compile "$VIRTUAL_ENV"
}

application() {
  compile .
  for made in "$@"; do
    "$made"
  done
}

compile() {
  # Unchecked: nothing changes inside an image, so that no start looks at the time of every file.
  "$python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$1"
}

kernels() {
  NUMBA_CACHE_DIR=baked/kernels "$python" -c '
from pathlib import Path
from services.logic_engine.kernels import load_kernels
print("kernels compiled:", load_kernels(Path("baked/kernels"), require_compiled=False))
'
}

fonts() {
  MPLCONFIGDIR=baked/matplotlib MPLBACKEND=Agg "$python" -c 'import matplotlib.font_manager'
}

step=$1
shift
case $step in
  dependencies) dependencies "$@" ;;
  application) application "$@" ;;
  *)
    echo "install.sh: no step '$step'" >&2
    exit 2
    ;;
esac
