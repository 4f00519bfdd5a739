#!/bin/sh
# Runs the compiled suites: all of them, or the files named as arguments. One suite a file, two at a time.
set -eu
cd "$(dirname "$0")/.."
# Named by their sources: dist/ may still hold suites that are no more.
[ $# -gt 0 ] || set -- $(find . -name '*.test.ts' -not -path './node_modules/*' -not -path './dist/*' | sort | sed 's#^\./\(.*\)\.ts$#dist/\1.js#')
exec npx tap run --disable-coverage --jobs=2 --timeout=900 --reporter="${TAP_REPORTER:-tap}" "$@"
