/** `sandlot up` before anything starts: options, data folder, ports; and how programs are kept running. */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '../../process/clock.js';
import { ConfigError } from '../../process/config.js';
import { openDataFolder } from './dataFolder.js';
import { explain } from './explain.js';
import { openLogFiles } from './logFile.js';
import { parseOptions } from './options.js';
import { checkPorts } from './ports.js';
import { ProgramFailed, supervise } from './programs.js';

t.test('options', async (t) => {
  t.same(parseOptions([], '/here'), { dataDir: '/here/.sandlot', port: 3000, gatewayPort: 3001, kubePort: 3002 });
  t.same(parseOptions(['--data', 'd', '--port=1', '--gateway-port', '2', '--kube-port=3'], '/here'), {
    dataDir: '/here/d',
    port: 1,
    gatewayPort: 2,
    kubePort: 3,
  });
  for (const [argv, message] of [
    [['--nope'], 'unknown option --nope'],
    [['extra'], 'unknown option extra'],
    [['--port'], '--port needs a value'],
    [['--port', 'x'], '--port: x is no port number (1 to 65535)'],
    [['--port', '70000'], '--port: 70000 is no port number (1 to 65535)'],
    [['--port', '3001'], 'the three ports must differ: 3001, 3001, 3002'],
  ] as const)
    t.throws(() => parseOptions(argv, '/'), { name: 'UsageError', message });
});

t.test('failures are told in a line that says what to do', async (t) => {
  const full = Object.assign(new Error('write failed'), { code: 'ENOSPC' });
  for (const [error, told] of [
    [full, /^the disk of \/d is full: make room, or choose another folder with --data$/],
    [new Error('cannot store', { cause: full }), /^the disk of \/d is full/],
    [new ProgramFailed('apiserver', '{"err":{"code":"ENOSPC"}}'), /^the disk of \/d is full/],
    [
      new ProgramFailed('apiserver', 'no such table\n'),
      /^apiserver does not start.*\n\nno such table\n\nMore in \/d\/logs/,
    ],
    [new ConfigError(['LOG_LEVEL: must be one of info']), /^wrong configuration:\n {2}LOG_LEVEL: must be one of info$/],
    [new TypeError('unforeseen'), /^TypeError: unforeseen\n +at /],
  ] as const)
    t.match(explain(error, { dataDir: '/d' }), told);
});

t.test('data folder: made once, kept, and refused with a reason', async (t) => {
  const root = t.testdir({});
  const path = join(root, 'data');
  const first = openDataFolder(path);
  t.match(first.secret, /^[\w-]{43}$/);
  t.not(first.secret, first.kubeToken);
  t.equal(statSync(join(path, 'secret')).mode & 0o777, 0o600);
  t.throws(() => openDataFolder(path), {
    name: 'FolderProblem',
    inUse: true,
    message: new RegExp(`already runs in ${path} \\(process ${process.pid}\\)`),
  });
  first.unlock();
  const second = openDataFolder(path);
  t.same([second.secret, second.kubeToken], [first.secret, first.kubeToken]);
  second.unlock();
  writeFileSync(join(path, 'lock'), JSON.stringify({ pid: 2 ** 22 + 1, started: '1' }));
  openDataFolder(path).unlock();
  t.notOk(existsSync(join(path, 'lock')), 'the lock of a process that died is taken over');

  writeFileSync(join(path, 'secret'), 'cut');
  t.throws(() => openDataFolder(path), { message: /secret is damaged/ });
  t.notOk(existsSync(join(path, 'lock')), 'and given back after a failure');
  writeFileSync(join(path, 'sandlot.json'), '{');
  t.throws(() => openDataFolder(path), { message: /sandlot.json is damaged/ });
  writeFileSync(join(path, 'sandlot.json'), '{"format":2}');
  t.throws(() => openDataFolder(path), { message: /another version/ });
  rmSync(join(path, 'sandlot.json'));
  t.throws(() => openDataFolder(path), { message: /is no Sandlot data folder/ });
  writeFileSync(join(root, 'file'), '');
  t.throws(() => openDataFolder(join(root, 'file')), { message: /cannot make the data folder .*EEXIST.*--data/ });
  mkdirSync(join(root, 'cut'));
  writeFileSync(join(root, 'cut', 'sandlot.json.new'), '{');
  openDataFolder(join(root, 'cut')).unlock();
});

t.test('a taken port is named with its option', async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  await t.rejects(checkPorts({ dataDir: '', port: 0, gatewayPort: port, kubePort: 0 }, false), {
    name: 'PortTaken',
    message: `port ${port} (for the gateway) is taken by another program: choose a free one with --gateway-port PORT`,
  });
  await checkPorts({ dataDir: '', port: 0, gatewayPort: 0, kubePort: 0 }, false);
});

t.test('log files are bounded', async (t) => {
  const folder = t.testdir({});
  const files = openLogFiles(folder, 10);
  for (const text of ['aaaaaa', 'bbbbbb', 'cccccc']) files.write('p', text);
  t.equal(readFileSync(join(folder, 'p.log'), 'utf8'), 'cccccc');
  t.equal(readFileSync(join(folder, 'p.log.1'), 'utf8'), 'bbbbbb');
});

t.test('programs: ready, started again after a death, stopped, given up', async (t) => {
  const folder = t.testdir({
    'good.mjs': `import { appendFileSync } from 'node:fs';
      appendFileSync(process.env.TRACE, process.argv[2] + process.pid + '\\n');
      process.on('SIGTERM', () => process.exit(0));
      setInterval(() => {}, 1000);
      process.send({ type: 'ready' });`,
    'bad.mjs': `console.error('wrong configuration'); process.exit(2);`,
  });
  const trace = join(folder, 'trace');
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
  const options = { execArgv: [], clock: systemClock, log, output: () => undefined };
  const program = { name: 'p', env: { TRACE: trace } };
  const good = supervise(program, { ...options, cli: join(folder, 'good.mjs') });
  await good.ready;
  const runs = () => readFileSync(trace, 'utf8').trim().split('\n');
  process.kill(Number(runs()[0]?.slice(1)), 'SIGKILL');
  while (runs().length < 2) await systemClock.sleep(10);
  await good.stop(5_000);
  t.throws(() => process.kill(Number(runs()[1]?.slice(1)), 0), { code: 'ESRCH' });

  const bad = supervise(program, { ...options, cli: join(folder, 'bad.mjs') });
  await t.rejects(bad.ready, { name: 'ProgramFailed', program: 'p', output: 'wrong configuration\n' });
  await bad.stop(1_000);
});
