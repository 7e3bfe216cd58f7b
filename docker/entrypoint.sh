#!/bin/sh
# Puts what was made at the build where it can be written to, then becomes the service.
# Numba uses no cache that it cannot write to; the root file system is read-only.
set -eu

fail() {
  echo "entrypoint: $1" >&2
  exit 2
}

copy() {
  if [ ! -d "$1" ]; then
    return
  fi
  # Over what is there: a folder that outlives its container may hold another version's, or half of a copy.
  if ! { mkdir -p "$2" && cp -R "$1/." "$2"; }; then
    fail "$2 cannot be written: mount a writable folder there (docker run --tmpfs /tmp), or set $3 to another"
  fi
}

if [ -d "$BAKED/kernels" ] && [ "${NUMBA_CPU_NAME:-}" = x86-64-v3 ] && [ -r /proc/cpuinfo ] &&
  ! grep -q -m 1 -w avx2 /proc/cpuinfo; then
  fail "this processor lacks AVX2, for which the kernels were compiled: run elsewhere, or build with NUMBA_CPU_NAME=generic"
fi
copy "$BAKED/kernels" "$NUMBA_CACHE_DIR" NUMBA_CACHE_DIR
copy "$BAKED/matplotlib" "$MPLCONFIGDIR" MPLCONFIGDIR
exec "$@"
