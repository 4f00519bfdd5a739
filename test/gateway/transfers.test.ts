/**
 * 100 MB up and down through the real gateway, alone and behind nginx of three kinds: whole, in parts, resumed, to a reader who
 * does not read; and what the gateway's process holds meanwhile.
 */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { request } from 'undici';
import { packageRoot } from '../../process/root.js';
import { ask, converse, finished } from '../support/client.js';
import { childrenOf } from '../support/machine.js';
import { hasNginx, NGINX_WAYS, startNginx } from '../support/nginx.js';
import { freePorts, removeFolder, startStack, until } from '../support/stack.js';

const skip = process.platform !== 'linux' ? 'needs /proc' : hasNginx() ? false : 'no nginx here';
const run = promisify(execFile);
const MB = 1_000_000;
const SIZE = 100 * MB;
/** On the way between an app and a reader who has stopped are mostly the sockets' buffers, up to 10 MB a hop on loopback. */
const MAX_AHEAD = 70 * MB;
const MAX_GROWTH = 96 * MB;

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** Highest resident set since the last call, in bytes: the kernel keeps it. */
function peakOf(pid: number): number {
  const kb = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  return Number(kb) * 1024;
}

t.setTimeout(180_000);
t.test('large bodies', { skip, timeout: 180_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sandlot-transfers-'));
  const file = join(folder, 'file');
  const here = join(folder, 'here');
  const bytes = randomBytes(SIZE);
  writeFileSync(file, bytes);
  const digest = sha256(bytes);
  const stack = await startStack();
  const [port] = await freePorts();
  t.teardown(async () => {
    await stack.stop();
    await removeFolder(stack.data);
    rmSync(folder, { recursive: true, force: true });
  });
  const program = join(packageRoot(), 'test/gateway/apps/files_app.mjs');
  const conversation = await converse(stack, `node ${program} ${port} ${file} > /dev/null 2>&1 &`);
  await finished(stack, conversation.id);
  const { hostname } = new URL(conversation.conversation_url ?? '');
  const headers = {
    host: `${port}-${hostname}:${stack.gatewayPort}`,
    'x-session-api-key': conversation.session_api_key ?? '',
  };
  const curl = async (...options: string[]) => {
    const fields = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
    return (await run('curl', ['-sS', '--fail', ...fields, ...options])).stdout;
  };
  await until('the app', async () => (await ask(`http://127.0.0.1:${stack.gatewayPort}/sent`, { headers })).status === 200); // prettier-ignore
  const [gateway] = childrenOf(stack.pid, 'gateway');
  if (gateway === undefined) throw new Error('no gateway runs');

  for (const way of ['alone', ...NGINX_WAYS] as const)
    await t.test(way, async (t) => {
      const nginx = way === 'alone' ? undefined : await startNginx(way, stack.gatewayPort);
      t.teardown(() => nginx?.stop());
      const base = `http://127.0.0.1:${nginx?.port ?? stack.gatewayPort}`;
      await curl(`${base}/sent`);
      peakOf(gateway);
      const before = peakOf(gateway);
      let peak = before;
      const measured = (what: string) => {
        const now = peakOf(gateway);
        t.comment(`${what}: at most ${Math.round(now / MB)} MB resident, ${Math.round(before / MB)} MB before`);
        peak = Math.max(peak, now);
      };

      await curl('-o', here, `${base}/file`);
      t.equal(sha256(readFileSync(here)), digest, 'a download');
      measured('download');
      t.equal(
        await curl('-H', 'Expect:', '--data-binary', `@${file}`, `${base}/`),
        digest,
        'an upload with its length',
      );
      const chunked = ['-H', 'Transfer-Encoding: chunked', '--data-binary', `@${file}`];
      t.equal(await curl(...chunked, `${base}/`), digest, 'an upload in chunks');
      measured('uploads');

      const head = await curl('-I', `${base}/file`);
      t.match(head, new RegExp(`content-length: ${SIZE}`, 'i'), 'HEAD tells the length');
      const { stdout } = await run('curl', ['-sS', '-r', '1000-1999', '-H', `host: ${headers.host}`, '-H', `x-session-api-key: ${headers['x-session-api-key']}`, `${base}/file`], { encoding: 'buffer' }); // prettier-ignore
      t.ok(stdout.equals(bytes.subarray(1000, 2000)), 'a range');
      copyFileSync(file, here);
      truncateSync(here, 90 * MB);
      await curl('-C', '-', '-o', here, `${base}/file`);
      t.equal(sha256(readFileSync(here)), digest, 'a download that goes on where it broke off');

      const { body } = await request(`${base}/file`, { headers, bodyTimeout: 0 });
      const hash = createHash('sha256');
      let read = 0;
      for await (const chunk of body) {
        hash.update(chunk as Buffer);
        const isFirst = read === 0;
        read += (chunk as Buffer).length;
        if (!isFirst) continue;
        const ahead = await settled(async () => Number((await ask(`${base}/sent`, { headers })).text));
        t.comment(`the app was ${Math.round(ahead / MB)} MB ahead of who does not read`);
        // The other two keep on disk what their client does not take.
        if (way === 'alone' || way === 'plain') t.ok(ahead < MAX_AHEAD, 'the app waits for who does not read');
        measured('a reader who does not read');
      }
      t.equal(hash.digest('hex'), digest, 'and then he has all of it');
      t.ok(peak - before < MAX_GROWTH, `the gateway holds ${Math.round((peak - before) / MB)} MB more at most`);
    });
});

/** A number once it stays the same. */
async function settled(look: () => Promise<number>): Promise<number> {
  let last = -1;
  return await until('a number that stays', async () => {
    const before = last;
    last = await look();
    await new Promise((resolve) => setTimeout(resolve, 300));
    return last === before ? last : undefined;
  });
}
