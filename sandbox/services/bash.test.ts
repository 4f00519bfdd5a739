/** Commands of `/api/bash` that say more than memory should hold. */
import t from 'tap';
import type { BashOutput } from '../../contracts/agent/bash.js';
import { peakMemory } from '../testing/memory.js';
import { caller, folder, startChild } from '../testing/server.js';
import { runShell } from './process.js';

const MIB = 1 << 20;

t.test('150 MB of output lie on the disk, not in memory, and come in pages', async (t) => {
  const { child, url } = await startChild(folder(t));
  t.teardown(() => child.kill('SIGKILL'));
  const call = caller(url);
  const say = async (bytes: number) => {
    const command = `yes 'a line öf output 字' | head -c ${bytes}`;
    return (await call('POST', '/api/bash/execute_bash_command', { command })).body as BashOutput;
  };
  t.match(await say(150_000_000), { exit_code: 0, order: /^1\d\d$/ }, 'in pieces');
  const peak = peakMemory(child.pid ?? 0);
  t.ok(peak < 320 * MIB, `memory is bounded: ${Math.round(peak / MIB)} MiB`);

  const bytes = 40_000_000;
  const last = await say(bytes);
  let expected = 0;
  let told = 0;
  for (let page: string | null = ''; page !== null;) {
    const at: string = page === '' ? '' : `&page_id=${page}`;
    const path = `/api/bash/bash_events/search?command_id__eq=${last.command_id}&limit=100${at}`;
    const { items, next_page_id: next } = (await call('GET', path)).body as {
      items: BashOutput[];
      next_page_id: string | null;
    };
    for (const item of items) {
      if (item.order !== expected++) t.fail(`piece ${item.order} instead of ${expected - 1}`);
      told += Buffer.byteLength(item.stdout ?? '');
    }
    const size = items.reduce((sum, item) => sum + (item.stdout?.length ?? 0), 0);
    t.ok(items.length > 0 && size < 24 * MIB, 'a page is bounded, too');
    page = next;
  }
  t.equal(expected, last.order + 1, 'every piece, in order');
  t.ok(Math.abs(told - bytes) < 8, 'every byte, but for a character that the end cut');
});

t.test('single bytes and split characters add up', async (t) => {
  const chunks: string[] = [];
  const shell = runShell({
    command: "for i in 1 2 3 4 5 6 7 8; do printf '\\xc3'; sleep 0.01; printf '\\xb6'; done; printf err >&2",
    cwd: '/',
    env: { PATH: process.env['PATH'] ?? '' },
    timeoutMs: 60_000,
    chunkBytes: 5,
    onChunk: ({ stdout, stderr }) => void chunks.push(stdout + stderr),
  });
  const { exitCode, stdout, stderr } = await shell.result;
  t.equal(exitCode, 0);
  t.equal([...chunks, stdout, stderr].join('').replace('err', ''), 'ö'.repeat(8));
});
