/** The recordings of the real app server, played against the whole stack; intended differences are in app-server-better.json. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import t from 'tap';
import { packageRoot } from '../../process/root.js';
import { freePorts, newDataFolder, removeFolder, startStack } from '../support/stack.js';

const here = (file: string) => join(packageRoot(), 'test', 'conformance', file);

async function outputOf(child: ChildProcess): Promise<{ code: number | null; text: string }> {
  let text = '';
  child.stdout?.on('data', (chunk) => (text += String(chunk)));
  child.stderr?.on('data', (chunk) => (text += String(chunk)));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, text };
}

t.test('the API server answers as recorded', { timeout: 280_000 }, async (t) => {
  const data = await newDataFolder();
  const stack = await startStack({ data });
  const [port] = await freePorts();
  const llm = spawn(process.execPath, [here('app-llm.mjs'), String(port)], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(async () => {
    llm.kill();
    await stack.stop();
    await removeFolder(data);
  });
  await once(llm.stdout, 'data');
  const base = stack.api.replace('localhost', '127.0.0.1');
  const args = [
    '--base',
    base,
    '--llm',
    `http://127.0.0.1:${port}/v1`,
    '--pace',
    '0',
    '--problem-fields',
    '--better',
    here('app-server-better.json'),
  ];
  const player = await outputOf(
    spawn(process.execPath, [here('app-server.mjs'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] }),
  );
  t.comment(player.text);
  t.match(player.text, /16 passed, 0 failed/);
  t.equal(player.code, 0);
});
