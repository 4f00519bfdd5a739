#!/bin/sh
# Runs the compiled suites: all of them, or the files named as arguments. One suite a file, two at a time.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- $(find dist -name '*.test.js' -not -path 'dist/web/*' | sort)
exec npx tap run --disable-coverage --jobs=2 --timeout=300 --reporter="${TAP_REPORTER:-tap}" "$@"
