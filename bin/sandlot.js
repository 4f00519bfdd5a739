#!/usr/bin/env node
import { existsSync } from 'node:fs';
const cli = new URL('../dist/local/cli.js', import.meta.url);
if (existsSync(cli)) await import(cli.href);
else
  process.exitCode =
    (process.stderr.write('Sandlot is not built yet: run "npm ci" (or "npm run build") in its folder first.\n'), 1);
