/**
 * The API server measured: what comes in, what is looked for, how it starts, what a browser waits for.
 *
 *     npm run build && node dist/bench/apiserver/run.js [ingest|search|start|home ...] [--events N] [--long N] [--rounds N]
 */
import { parseArgs } from 'node:util';
import { benchHome } from './home.js';
import { benchIngest } from './ingest.js';
import { benchSearch } from './search.js';
import { benchStart } from './start.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    conversations: { type: 'string', default: '100000' },
    events: { type: 'string', default: '2000000' },
    long: { type: 'string', default: '500000' },
    rounds: { type: 'string', default: '5' },
  },
});
const rounds = Number(values.rounds);
const scale = {
  conversations: Number(values.conversations),
  events: Number(values.events),
  longHistory: Number(values.long),
};
const parts: Record<string, () => Promise<void>> = {
  start: () => benchStart(rounds),
  ingest: () => benchIngest(rounds),
  search: () => benchSearch(scale),
  home: () => benchHome(rounds),
};
for (const name of positionals.length > 0 ? positionals : Object.keys(parts)) {
  const part = parts[name];
  if (part === undefined) throw new Error(`there is no part ${name}: ${Object.keys(parts).join(', ')}`);
  console.log(`--- ${name}`);
  await part();
}
process.exit(0);
