/**
 * The crash hunt: kills the agent server at random moments under traffic, and compares what clients saw acknowledged with
 * what is there after each restart. `node dist/bench/soak/crash.js [rounds] [--seed=N]`; exits with 1 at the first loss.
 */
import { parseArgs } from 'node:util';
import { huntCrashes } from '../../sandbox/testing/crash-hunt.js';

const { values, positionals } = parseArgs({ options: { seed: { type: 'string' } }, allowPositionals: true });
const rounds = Number(positionals[0] ?? 20);
const seed = Number(values.seed ?? Date.now() % 1e6);
if (!Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(seed)) {
  console.error('usage: crash.js [rounds] [--seed=N]   (whole numbers)');
  process.exit(2);
}
console.log(`${rounds} rounds, --seed=${seed}`);
try {
  const { events } = await huntCrashes({ rounds, seed, report: (line) => console.log(line) });
  console.log(`nothing lost: ${events} acknowledged events are there after ${rounds} kills`);
  process.exit(0);
} catch (error) {
  console.error(error);
  process.exit(1);
}
