/** The tools with real shells and files in temporary folders. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '../../process/clock.js';
import { mapWorkspacePath, terminalEnvironment } from './environment.js';
import { createFileEditorTool } from './files/tool.js';
import { insertLines, occurrences, snippet } from './files/text.js';
import { createTools } from './registry.js';
import { createSearchTools } from './search.js';
import { createTaskTrackerTool } from './task-tracker.js';
import { keysFor } from './terminal/keys.js';
import { createCapture, plainText } from './terminal/screen.js';
import { createTerminalTool, terminalText } from './terminal/tool.js';
import { contentText, type Observation, type Tool, type ToolContext } from './tool.js';

const dir = mkdtempSync(join(tmpdir(), 'tools-'));
t.teardown(() => rmSync(dir, { recursive: true, force: true }));
const never = (): AbortSignal => new AbortController().signal;

const context = (over: Partial<ToolContext> = {}): ToolContext => ({
  workingDir: dir,
  dataDir: join(dir, 'data'),
  clock: systemClock,
  environment: () => ({ PATH: process.env['PATH'] ?? '', HOME: dir }),
  secretsFor: (command) =>
    Promise.resolve<Record<string, string>>(command.includes('TOKEN') ? { TOKEN: "it's\nsecret" } : {}),
  mapPath: (path) => path.replace(/^\/workspace(?=\/|$)/, dir),
  params: {},
  waiting: () => ({ quietNeedsPort: false, onBusy: 'refuse' }),
  ...over,
});
const said = (observation: Observation): string => contentText(observation.content);
const suffix = (observation: Observation): string => (observation['metadata'] as { suffix: string }).suffix;
const folder = (observation: Observation): string => (observation['metadata'] as { working_dir: string }).working_dir;

const commandLine = (pid: string): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
};

type Run = (command: string, more?: object, signal?: AbortSignal) => Promise<Observation>;
const runner =
  (tool: Tool): Run =>
  (command, more = {}, signal = never()) =>
    tool.run({ kind: 'TerminalAction', command, is_input: false, timeout: null, reset: false, ...more }, { signal });

for (const type of ['pty', 'subprocess']) {
  t.test(`terminal on ${type}`, async (t) => {
    const tool = createTerminalTool(context({ params: { terminal_type: type, no_change_timeout_seconds: 0.5 } }));
    const run = runner(tool);
    t.teardown(() => tool.close?.());

    const first = await run('echo hello > a.txt && cat a.txt');
    t.match(first, {
      content: [{ type: 'text', text: 'hello', cache_prompt: false }],
      is_error: false,
      exit_code: 0,
      timeout: false,
      command: 'echo hello > a.txt && cat a.txt',
      full_output_save_dir: join(dir, 'data', 'observations'),
    });
    t.equal(suffix(first), '\n[The command completed with exit code 0.]');
    t.match(
      terminalText(first),
      new RegExp(`^hello\\n\\[The command completed with exit code 0\\.\\]\\n\\[Current folder: ${dir}\\]$`),
    );

    const table: [string, string, number][] = [
      ['echo out; echo err >&2; f() { return 3; }; f', 'out\nerr', 3],
      ['cat <<EOF\n  a\nb\nEOF', '  a\nb', 0],
      ['for i in 1 2; do\n  echo $i\ndone', '1\n2', 0],
      ["printf '10%%\\r20%%\\r100%%\\n'", '100%', 0],
      ["printf '\\033[31mred\\033[0m \\033]0;title\\007plain'", 'red plain', 0],
      ['printf "é 漢 ✓"', 'é 漢 ✓', 0],
      ["printf 'a\\000b\\377c' | od -An -c | head -1", 'a  \\0   b 377   c', 0],
      ['(exit 7)', '', 7],
      ['echo "$TOKEN"', "it's\nsecret", 0],
    ];
    for (const [command, output, code] of table) {
      const seen = await run(command);
      t.equal(said(seen).trim(), output.trim(), command);
      t.equal(seen['exit_code'], code, command);
    }
    await run('mkdir -p sub && cd sub && export KEPT=1 && hi() { echo "hi $KEPT"; }');
    const kept = await run('hi; pwd');
    t.equal(said(kept), `hi 1\n${join(dir, 'sub')}`, 'folder, variables and functions stay');
    t.equal(folder(kept), join(dir, 'sub'));
    t.match(said(await run('if then')), /syntax error/);
    t.equal(said(await run('echo still here')), 'still here');

    if (type === 'pty') {
      await run('stty echo');
      t.equal(said(await run('echo quiet; stty -echo')), 'quiet', 'echo left on shows nothing of ours');
    }
    t.match(await run('', {}), { is_error: true, exit_code: -1 });
    t.match(await run('y', { is_input: true }), { is_error: true });
    const waiting = await run('read -r name; echo "got $name"');
    t.match(waiting, { timeout: true, exit_code: -1, is_error: false });
    t.match(suffix(waiting), /still running and printed nothing new for 0\.5 seconds/);
    t.match(said(await run('echo no')), /^Not run: `read -r name/);
    t.equal(said(await run('you there', { is_input: true })), 'got you there');
    t.match(suffix(await run('sleep 100', { timeout: 0.2 })), /still running after 0\.2 seconds/);
    t.match(await run('C-c', { is_input: true }), { exit_code: 130 });

    const stop = new AbortController();
    const stopped = run('echo begun > begun; sleep 100', { timeout: 90 }, stop.signal);
    while (!existsSync(join(dir, 'sub', 'begun'))) await new Promise((resolve) => setImmediate(resolve));
    stop.abort(new Error('stop'));
    t.match(suffix(await stopped), /interrupted/);
    t.equal(said(await run('echo on')), 'on', 'the shell outlives an interrupt');

    await run(`rm -rf ${tmpdir()}/sandlot-terminal-${process.pid}-*`);
    t.equal(said(await run('echo and on')), 'and on', 'it does without its folder for a moment');

    t.match(suffix(await run('exit 4')), /shell ended with exit code 4/);
    t.equal(
      said(await run('echo "new $KEPT"')),
      type === 'pty' ? 'new 1' : said(await run('echo "new $KEPT"')),
      'a new shell takes its place',
    );
    t.match(await run('', { reset: true }), { is_error: false });
    t.equal(said(await run('pwd')), dir, 'a reset begins anew');
  });
}

t.test('terminal: long and broken output stays bounded', async (t) => {
  const tool = createTerminalTool(context());
  const run = runner(tool);
  t.teardown(() => tool.close?.());
  const long = await run('echo BEGIN; head -c 20000000 /dev/zero | tr "\\0" "x"; echo; echo END');
  t.ok(said(long).length < 31_000);
  t.match(
    said(long),
    /^BEGIN\nx+[\s\S]*output shortened: 200000\d\d characters in all\. The full output is in [\s\S]*END$/,
  );
  const file = /full output is in (\S+?) \(its first 16 MiB\)\.\]/.exec(said(long))?.[1] ?? '';
  t.equal(readFileSync(file).length >= 16 * 1024 * 1024, true);
  const noise = await run('head -c 500000 /dev/urandom');
  t.equal(noise['exit_code'], 0);
  t.notMatch(said(noise), /[\u0000-\u0008\u000e-\u001f]/, 'binary output is text without control characters');
  t.equal(said(await run('echo ok')), 'ok');
});

t.test('terminal: an app goes on, is seen, and ends with the conversation', async (t) => {
  const free = await new Promise<number>((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
  const tool = createTerminalTool(
    context({ waiting: () => ({ quietSeconds: 0.3, quietNeedsPort: true, onBusy: 'set-aside' }) }),
  );
  const run = runner(tool);
  const app = `node -e "process.title='app'; require('http').createServer((q,r)=>r.end('hi')).listen(${free},'127.0.0.1')"`;
  await run('export SHARED=yes');
  const serving = await run(app);
  t.match(serving, { timeout: true, exit_code: -1 });
  if (process.platform === 'linux') t.match(suffix(serving), new RegExp(`It listens on port ${free}\\.`));
  t.equal(
    said(await run(`node -e "fetch('http://127.0.0.1:${free}').then(r=>r.text()).then(console.log)"; echo $SHARED`)),
    'hi\nyes',
    'the next command runs beside it',
  );
  const mark = `98765.${process.pid}`;
  await run(`(setsid nohup sleep ${mark} >/dev/null 2>&1 &)`);
  const alive = (): boolean =>
    process.platform === 'linux' &&
    readdirSync('/proc').some((pid) => /^\d+$/.test(pid) && commandLine(pid).includes(mark));
  while (process.platform === 'linux' && !alive()) await new Promise((resolve) => setImmediate(resolve));
  await tool.close?.();
  t.notOk(alive(), 'also what left the session');
  await t.rejects(fetch(`http://127.0.0.1:${free}`), 'it ended');
  await tool.close?.();
});

t.test('plain text of a terminal', (t) => {
  const table: [string, string][] = [
    ['a\r\nb\r\n', 'a\nb\n'],
    ['one\rtwo', 'two'],
    ['done\r', 'done'],
    ['ab\bc', 'ac'],
    ['\u001b[1;31mX\u001b[0m\u001b(B', 'X'],
    ['\u001b]8;;http://x\u001b\\link\u001b]8;;\u001b\\', 'link'],
    ['tab\there\u0007', 'tab\there'],
  ];
  for (const [raw, plain] of table) t.equal(plainText(raw), plain, JSON.stringify(raw));
  const capture = createCapture({ limit: 100, spillPath: join(dir, 'spill.txt') });
  for (let n = 0; n < 50; n++) capture.add(`line ${n}\n`);
  t.match(capture.text(), /^line 0\nline 1[\s\S]*output shortened: 390 characters in all[\s\S]*line 49$/);
  void capture.close();
  t.equal(keysFor('C-c'), '\u0003');
  t.equal(keysFor('UP'), '\u001b[A');
  t.equal(keysFor('hello'), 'hello\n');
  t.end();
});

t.test('file editor', async (t) => {
  const tool = createFileEditorTool(context());
  const path = join(dir, 'deep', 'b.txt');
  const edit = (args: object): Promise<Observation> =>
    tool.run({ kind: 'FileEditorAction', command: 'view', path, ...args }, { signal: never() });
  t.strictSame(await edit({ command: 'create', file_text: 'one\ntwo\n' }), {
    content: [{ cache_prompt: false, type: 'text', text: `File created successfully at: ${path}` }],
    is_error: false,
    path,
    prev_exist: false,
    old_content: null,
    new_content: 'one\ntwo\n',
    command: 'create',
    kind: 'FileEditorObservation',
  });
  t.equal(said(await edit({})), `Here's the result of running \`cat -n\` on ${path}:\n     1\tone\n     2\ttwo\n`);
  const replaced = await edit({ command: 'str_replace', old_str: 'two', new_str: 'three' });
  t.equal(
    said(replaced),
    `The file ${path} has been edited. Here's the result of running \`cat -n\` on a snippet of ${path}:\n     1\tone\n     2\tthree\nReview the changes and make sure they are as expected. Edit the file again if necessary.`,
  );
  t.match(replaced, { old_content: 'one\ntwo\n', new_content: 'one\nthree\n', prev_exist: true });
  await edit({ command: 'insert', insert_line: 1, new_str: 'middle' });
  t.equal(readFileSync(path, 'utf8'), 'one\nmiddle\nthree\n');
  await edit({ command: 'undo_edit' });
  await edit({ command: 'undo_edit' });
  t.equal(readFileSync(path, 'utf8'), 'one\ntwo\n');
  t.equal(
    said(await edit({ view_range: [2, -1] })),
    `Here's the result of running \`cat -n\` on ${path}:\n     2\ttwo\n`,
  );
  t.match(said(await edit({ path: dir })), new RegExp(`${dir}/deep/\n[\\s\\S]*${dir}/deep/b.txt`));
  t.equal(
    said(await edit({ path: '/workspace/deep/b.txt' })),
    `Here's the result of running \`cat -n\` on ${path}:\n     1\tone\n     2\ttwo\n`,
    'paths as clients say them',
  );
  writeFileSync(join(dir, 'p.png'), Buffer.from('iVBORw0KGgo=', 'base64'));
  t.match((await edit({ path: join(dir, 'p.png') })).content[1], {
    type: 'image',
    image_urls: [/^data:image\/png;base64,/],
  });
  writeFileSync(join(dir, 'bin'), Buffer.from([1, 0, 2]));
  writeFileSync(join(dir, 'twice'), 'x\nx\n');

  const wrong: [object, RegExp][] = [
    [
      { path: '/no/such/file' },
      /^Invalid `path` parameter: \/no\/such\/file\. The path \/no\/such\/file does not exist\. Please provide a valid path\.$/,
    ],
    [{ path: 'relative' }, /must be absolute/],
    [{ command: 'create', file_text: 'again' }, /does not overwrite/],
    [{ command: 'create', path: join(dir, 'new') }, /`file_text` is required/],
    [{ command: 'str_replace', old_str: 'zzz', new_str: '' }, /does not occur/],
    [{ command: 'str_replace', path: join(dir, 'twice'), old_str: 'x', new_str: 'y' }, /occurs 2 times .*lines 1, 2/],
    [{ command: 'insert', insert_line: 9, new_str: 'x' }, /Invalid `insert_line`/],
    [{ command: 'undo_edit' }, /no edit/],
    [{ view_range: [5, 6] }, /Invalid `view_range`/],
    [{ command: 'str_replace', path: dir, old_str: 'a' }, /can only be viewed/],
    [{ path: join(dir, 'bin') }, /not a text file/],
  ];
  for (const [args, message] of wrong) {
    const refused = await edit(args);
    t.match(said(refused), message);
    t.match(refused, { is_error: true, path: null, prev_exist: true });
  }
});

t.test('pure parts of the editor', (t) => {
  t.strictSame(occurrences('a\nb a\na', 'a'), [1, 2, 3]);
  t.strictSame(occurrences('none', 'x'), []);
  t.equal(insertLines('', 0, 'x'), 'x\n');
  t.equal(insertLines('a\nb\n', 0, 'x\n'), 'x\na\nb\n');
  t.equal(insertLines('a\nb\n', 2, 'x'), 'a\nb\nx\n');
  t.equal(insertLines('a\nb', 2, 'x'), 'a\nb\nx');
  t.match(
    snippet(Array.from({ length: 20 }, (_, n) => `l${n + 1}`).join('\n'), 10, 1),
    /^ {5}6\tl6\n[\s\S]* {4}14\tl14$/,
  );
  t.end();
});

t.test('task list, names, environment', async (t) => {
  const tool = createTaskTrackerTool(context());
  const task_list = [{ title: 'Do it', notes: 'soon', status: 'in_progress' }];
  const run = (fields: object): Promise<Observation> =>
    tool.run({ kind: 'TaskTrackerAction', ...fields }, { signal: never() });
  t.match(await run({ command: 'view' }), { task_list: [], command: 'view' });
  t.strictSame(await run({ command: 'plan', task_list }), {
    content: [{ cache_prompt: false, type: 'text', text: 'Task list has been updated with 1 item(s).' }],
    is_error: false,
    command: 'plan',
    task_list,
    kind: 'TaskTrackerObservation',
  });
  t.match(await run({ command: 'view', task_list: [] }), {
    task_list,
    content: [{ text: /1\. \[>\] Do it\n {3}soon/ }],
  });

  const made = createTools(
    {
      tools: [
        { name: 'BashTool', params: {} },
        { name: 'what', params: {} },
        { name: 'grep', params: {} },
      ],
      defaults: ['FinishTool'],
      filter: '^(terminal|finish)$',
    },
    context(),
  );
  t.strictSame([...made.tools.keys()], ['terminal', 'finish']);
  t.strictSame(made.unknown, ['what']);
  t.equal(terminalEnvironment({ PORT: '8000', HOST: '127.0.0.2' })['PORT'], undefined, "not the server's port");
  t.equal(terminalEnvironment({ PORT: '8000', WORKER_1: '8011' })['PORT'], '8011');
  t.match(terminalEnvironment({ A: '1', PAGER: 'less' }), { A: '1', PAGER: 'cat', PATH: /bin/ });
  t.equal(mapWorkspacePath('/workspace/project/x', '/data/pod'), '/data/pod/project/x');
  t.equal(mapWorkspacePath('/workspaces/x', '/data/pod'), '/workspaces/x');
  t.equal(mapWorkspacePath('/workspace/x', '/workspace'), '/workspace/x');
});

t.test('glob and grep', async (t) => {
  const root = join(dir, 'search');
  mkdirSync(join(root, 'src', 'inner'), { recursive: true });
  mkdirSync(join(root, 'node_modules'), { recursive: true });
  writeFileSync(join(root, 'src', 'a.ts'), 'const needle = 1;\nother\n');
  writeFileSync(join(root, 'src', 'inner', 'b.ts'), 'x\nNEEDLE\n');
  writeFileSync(join(root, 'src', 'c.md'), 'needle');
  writeFileSync(join(root, 'node_modules', 'd.ts'), 'needle');
  symlinkSync(root, join(root, 'src', 'loop'));
  const [glob, grep] = createSearchTools(context({ workingDir: root }));
  const find = (pattern: string): Promise<Observation> =>
    glob!.run({ kind: 'GlobAction', pattern, path: null }, { signal: never() });
  t.strictSame(((await find('**/*.ts'))['files'] as string[]).sort(), [
    join(root, 'src', 'a.ts'),
    join(root, 'src', 'inner', 'b.ts'),
  ]);
  t.strictSame(((await find('src/*.{ts,md}'))['files'] as string[]).sort(), [
    join(root, 'src', 'a.ts'),
    join(root, 'src', 'c.md'),
  ]);
  const search = (fields: object): Promise<Observation> =>
    grep!.run({ kind: 'GrepAction', pattern: 'needle', path: null, include: null, ...fields }, { signal: never() });
  const found = await search({ include: '*.ts' });
  t.strictSame((found['matches'] as string[]).sort(), [join(root, 'src', 'a.ts'), join(root, 'src', 'inner', 'b.ts')]);
  t.match(said(found), /a\.ts:1: const needle = 1;/);
  t.match(await search({ pattern: '(' }), { is_error: true });
  t.match(await search({ path: '/no/such' }), { is_error: true });
});
