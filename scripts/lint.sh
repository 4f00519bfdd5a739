#!/bin/sh
# Types, lint, import rules, format, and generated files up to date: everything that a reviewer should not have to look for.
set -eu
cd "$(dirname "$0")/.."
node_modules/typescript-native/bin/tsc --noEmit
node_modules/typescript-native/bin/tsc -p web/tsconfig.json
npx eslint --max-warnings 0 .
npx depcruise process contracts kube operator gateway apiserver sandbox local test bench
npx prettier --check --log-level warn .
before=$(cksum contracts/resources.gen.ts)
npx tsx scripts/generate-types.ts
[ "$before" = "$(cksum contracts/resources.gen.ts)" ] || { echo 'contracts/resources.gen.ts was stale; commit what is there now' >&2; exit 1; }
