/**
 * Our agent server beside the original one in the same run, round by round in turn: start, memory, first event, events a
 * second; then ours with twenty conversations at work at once, and with a history of 100,000 events.
 *
 *     npm run build && node dist/bench/agent/run.js [rounds]
 */
import { startModel, type ScriptedModel } from '../../sandbox/agent/testing/model.js';
import { readHistory, twenty, writeHistory } from './large.js';
import { installOriginal, start, type Kind } from './servers.js';
import { create, eventsPerSecond, firstEventMs } from './work.js';

const think = { calls: [{ tool: 'think', args: { thought: 'on' } }] };
const command = { calls: [{ tool: 'terminal', args: { command: 'true' } }] };

/** name → target of ours, and whether more is better. */
const FIGURES = {
  'start → ready, ms': { target: 800, more: false },
  'RSS ready, MB': { target: 110, more: false },
  'RSS with one conversation, MB': { target: 110, more: false },
  'POST → first event, ms': { target: 30, more: false },
  'events/s, instant model': { target: 500, more: true },
  'events/s, terminal calls': { target: 100, more: true },
} as const;
type Figure = keyof typeof FIGURES;

async function round(kind: Kind, python: string | undefined, model: ScriptedModel): Promise<Record<Figure, number>> {
  const server = await start(kind, python);
  try {
    const rss = server.rss();
    await create(server, model);
    const withOne = server.rss();
    await firstEventMs(server, model);
    const first = await firstEventMs(server, model);
    return {
      'start → ready, ms': server.readyMs,
      'RSS ready, MB': rss,
      'RSS with one conversation, MB': withOne,
      'POST → first event, ms': first,
      'events/s, instant model': await eventsPerSecond(server, model, {
        calls: kind === 'sandlot' ? 500 : 100,
        turn: think,
      }),
      'events/s, terminal calls': await eventsPerSecond(server, model, {
        calls: kind === 'sandlot' ? 200 : 50,
        turn: command,
      }),
    };
  } finally {
    await server.stop();
  }
}

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

async function main(rounds: number): Promise<void> {
  const model = await startModel();
  const python = installOriginal();
  const kinds: Kind[] = python === undefined ? ['sandlot'] : ['sandlot', 'original'];
  const found: Record<Kind, Record<Figure, number>[]> = { sandlot: [], original: [] };
  for (let n = 0; n < rounds; n += 1) for (const kind of kinds) found[kind].push(await round(kind, python, model));
  console.log('| figure | Sandlot | original 1.58.0 | ratio | target |\n| --- | --- | --- | --- | --- |');
  for (const [name, { target, more }] of Object.entries(FIGURES)) {
    const [ours, theirs] = kinds.map((kind) => median(found[kind].map((each) => each[name as Figure])));
    const ratio = ours === undefined || theirs === undefined ? '' : (more ? ours / theirs : theirs / ours).toFixed(1);
    console.log(`| ${name} | ${show(ours)} | ${show(theirs)} | ${ratio} | ${more ? '≥' : '≤'} ${target} |`);
  }
  const busy = await start('sandlot', undefined);
  for (const line of await twenty(busy, model).finally(() => busy.stop())) console.log(line);
  let id = '';
  const long = await start('sandlot', undefined, async (dir) => void (id = await writeHistory(model, dir)));
  for (const line of await readHistory(long, id).finally(() => long.stop())) console.log(line);
  await model.close();
}

const show = (value: number | undefined): string =>
  value === undefined ? '—' : value >= 100 ? value.toFixed(0) : value.toFixed(1);

await main(Number(process.argv[2] ?? 5));
