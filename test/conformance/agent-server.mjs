#!/usr/bin/env node
// Conformance runner for the OpenHands agent server wire contract.
// Plays golden exchanges (see README.md) against a server and compares what comes back.
// Plain Node >= 20. The only npm dependency is `ws`, resolved from the current working directory.
import http from 'node:http';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import net from 'node:net';
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { randomUUID } from 'node:crypto';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const HELP = `usage: node agent-server.mjs [options]
  --base-url URL    server under test             (env BASE_URL, default http://127.0.0.1:8000)
  --key KEY         session API key               (env SESSION_KEY)
  --dir DIR         folder of golden files        (default: agent-server/ beside this file; may be repeated)
  --file NAME       only this golden file (a path, or a part of the name; may be repeated)
  --skip NAME       leave out golden files whose name has this part (may be repeated)
  --work DIR        folder the SERVER may write in (default: a temp folder of this machine)
  --spawn CMD       start the server(s) with this shell command; it gets HOST, PORT, DIR and OH_* in its
                    environment and must stay in the foreground. Needed by files with needs:["spawn"]
  --llm-port N      port of the scripted LLM      (default: a free one)
  --llm-url URL     how the SERVER reaches it     (default http://127.0.0.1:<llm-port>/v1)
  --llm-only        start only the scripted LLM with the scripts of the golden files, until Ctrl-C
  --hook-port N     port of the webhook recorder  (default: a free one)
  --update          write what the server says into the golden files instead of comparing
  --better FILE     steps where the server under test answers better on purpose: a JSON list of
                    {scenario, step, why, expect}; "expect" stands in for the recorded one
  --pending FILE    JSON list of scenarios that do not agree yet: they must fail, all others must agree
  --strict          differences in prose (detail, msg, tool output text) fail too; otherwise they are notes
  --restart         end and start the server between any two steps at which nothing is open and nothing runs
                    (needs --spawn; only scenarios without a server of their own)
  --stream          models stream: "stream": true in every agent that a scenario sends
  --allow-extra     keys that the golden file lacks are notes, not differences
  --timeout SEC     longest wait for an awaited frame or state (default 40)
  --keep            keep the temp folder   --list  list the files   --verbose  print each step`;

// ---------------------------------------------------------------- arguments
const opt = { dir: [], file: [], skip: [] };
for (let i = 2; i < process.argv.length; i++) {
  const a = process.argv[i].replace(/^--/, '');
  if (['update', 'strict', 'allow-extra', 'list', 'verbose', 'keep', 'llm-only', 'restart', 'stream'].includes(a))
    opt[a] = true;
  else if (['dir', 'file', 'skip'].includes(a)) opt[a].push(process.argv[++i]);
  else if (
    ['base-url', 'key', 'work', 'spawn', 'llm-port', 'llm-url', 'hook-port', 'timeout', 'better', 'pending'].includes(a)
  )
    opt[a] = process.argv[++i];
  else {
    console.log(HELP);
    process.exit(a === 'help' || a === 'h' ? 0 : 2);
  }
}
const TIMEOUT = Number(opt.timeout || 40) * 1000;
const KEY = opt.key || process.env.SESSION_KEY || 'conformance-key';
const dirs = opt.dir.length ? opt.dir : [path.join(HERE, 'agent-server')];
const files = dirs
  .flatMap((d) =>
    fs
      .readdirSync(d)
      .filter((f) => f.endsWith('.json') && f !== 'openapi.json')
      .sort()
      .map((f) => path.join(d, f)),
  )
  .concat(opt.file.filter((f) => f.includes('/') && fs.existsSync(f)))
  .filter((f, i, all) => all.indexOf(f) === i)
  .filter(
    (f) =>
      !opt.file.length || opt.file.some((n) => path.resolve(n) === path.resolve(f) || path.basename(f).includes(n)),
  )
  .filter((f) => !opt.skip.some((n) => path.basename(f).includes(n)));
const goldens = files.map((file) => ({ file, ...JSON.parse(fs.readFileSync(file, 'utf8')) }));
const better = opt.better ? JSON.parse(fs.readFileSync(opt.better, 'utf8')) : [];
for (const { scenario, step, expect } of better) {
  const g = goldens.find((x) => x.name === scenario);
  if (g && !opt.update) g.steps[step - 1].expect = expect;
}
const pending = opt.pending ? JSON.parse(fs.readFileSync(opt.pending, 'utf8')) : [];
if (opt.list) {
  for (const g of goldens) console.log(`${g.name.padEnd(34)} ${(g.needs || []).join(',').padEnd(6)} ${g.why}`);
  process.exit(0);
}
const TMP = fs.mkdtempSync(path.join(os.tmpdir(), 'conformance-'));
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
const freePort = () =>
  new Promise((res) => {
    const s = net.createServer().listen(0, '127.0.0.1', () => {
      const p = s.address().port;
      s.close(() => res(p));
    });
  });

// ---------------------------------------------------------------- scripted LLM
// The last user message with a [[script:NAME]] marker picks the script; the number of assistant
// messages after it picks the turn. So the answer depends on the request alone.
const scripts = { hello: [{ text: 'Hello from the scripted model.' }] };
const gates = new Map();
const gate = (n) => {
  if (!gates.has(n)) {
    const g = {};
    g.p = new Promise((r) => {
      g.open = r;
    });
    g.arrived = new Promise((r) => {
      g.arrive = r;
    });
    gates.set(n, g);
  }
  return gates.get(n);
};
const llmLog = [];
function llmTurn(body) {
  const msgs = body.messages || [];
  const textOf = (m) =>
    typeof m.content === 'string' ? m.content : (m.content || []).map((c) => c.text || '').join('\n');
  let at = -1,
    name = null;
  msgs.forEach((m, i) => {
    const hit = m.role === 'user' && [...textOf(m).matchAll(/\[\[script:([\w-]+)\]\]/g)].pop();
    if (hit) {
      at = i;
      name = hit[1];
    }
  });
  if (!body.tools?.length)
    return { name: 'no-tools', n: 0, turn: scripts['no-tools']?.[0] || { text: 'Scripted answer without tools' } };
  const script = scripts[name];
  if (!script) return { name, n: 0, turn: { text: `No script named ${name}.` } };
  const n = msgs.slice(at).filter((m) => m.role === 'assistant').length;
  return { name, n, turn: script[Math.min(n, script.length - 1)] };
}
function llmMessage({ name, n, turn }) {
  const calls = (turn.calls || (turn.tool ? [turn] : [])).map((c, i) => ({
    id: c.id || `call_${name}_${n}_${i}`,
    type: 'function',
    function: { name: c.tool, arguments: c.rawArgs ?? JSON.stringify(c.args || {}) },
  }));
  const msg = { role: 'assistant', content: turn.text ?? null };
  if (turn.reasoning) msg.reasoning_content = turn.reasoning;
  if (calls.length) msg.tool_calls = calls;
  return { msg, finish: calls.length ? 'tool_calls' : 'stop' };
}
async function llmHandler(req, res) {
  let raw = '';
  for await (const c of req) raw += c;
  const send = (status, obj, headers = {}) => {
    res.writeHead(status, { 'content-type': 'application/json', ...headers });
    res.end(JSON.stringify(obj));
  };
  if (req.method === 'GET') return send(200, { object: 'list', data: [{ id: 'scripted', object: 'model' }] });
  let body;
  try {
    body = JSON.parse(raw);
  } catch {
    return send(400, { error: { message: 'bad json' } });
  }
  const pick = llmTurn(body);
  const { turn, name, n } = pick;
  llmLog.push({ name, n, stream: !!body.stream, auth: req.headers.authorization });
  if (turn.hold) {
    const g = gate(turn.hold);
    g.arrive();
    await Promise.race([g.p, new Promise((r) => res.on('close', r))]);
    if (res.destroyed) return;
  }
  if (turn.delayMs) await sleep(turn.delayMs);
  if (turn.error)
    return send(
      turn.error.status,
      {
        error: {
          message: turn.error.message || 'scripted failure',
          type: turn.error.type || 'scripted_error',
          code: turn.error.code || null,
        },
      },
      turn.error.headers,
    );
  const { msg, finish } = llmMessage(pick);
  const usage = { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 };
  const head = { id: `resp-${name}-${n}`, created: 1700000000, model: body.model };
  if (!body.stream)
    return send(200, {
      ...head,
      object: 'chat.completion',
      choices: [{ index: 0, message: msg, finish_reason: finish }],
      usage,
    });
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  const chunk = (delta, fin = null, extra = {}) =>
    res.write(
      `data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: fin }], ...extra })}\n\n`,
    );
  chunk({ role: 'assistant', content: '' });
  if (msg.reasoning_content) chunk({ reasoning_content: msg.reasoning_content });
  for (const part of (msg.content || '').match(/.{1,16}/gs) || []) chunk({ content: part });
  for (const [index, c] of (msg.tool_calls || []).entries()) chunk({ tool_calls: [{ index, ...c }] });
  chunk({}, finish);
  if (body.stream_options?.include_usage)
    res.write(`data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', choices: [], usage })}\n\n`);
  res.end('data: [DONE]\n\n');
}

// ---------------------------------------------------------------- webhook recorder
const hooks = { log: [], status: 200, only: '' };
async function hookHandler(req, res) {
  let raw = '';
  for await (const c of req) raw += c;
  let body;
  try {
    body = JSON.parse(raw);
  } catch {
    body = raw;
  }
  const status = !req.url.includes(hooks.only)
    ? 200
    : Array.isArray(hooks.status)
      ? hooks.status.length > 1
        ? hooks.status.shift()
        : hooks.status[0]
      : hooks.status;
  hooks.log.push({ t: Date.now(), method: req.method, path: req.url, headers: req.headers, body, answered: status });
  res.writeHead(status, { 'content-type': 'application/json' });
  res.end('{}');
}
const listen = (handler, port) =>
  new Promise((res, rej) => {
    const s = http.createServer((q, r) => handler(q, r).catch(() => r.destroy()));
    s.on('error', rej);
    s.listen(port, '127.0.0.1', () => res(s));
  });

// ---------------------------------------------------------------- placeholders, recording, comparing
const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const PATTERN = {
  uuid: UUID,
  hex: '[0-9a-f]{32}',
  hash: '[0-9a-f]{40}',
  sha: '[0-9a-f]{7,12}',
  time: '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?',
  timez: '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?(?:Z|[+-]\\d\\d:\\d\\d)',
  version: '\\d+\\.\\d+\\.\\d+\\S*',
  text: '[\\s\\S]+',
  any: '[\\s\\S]*',
  int: '-?\\d+',
  stamp: '\\d{20}',
  tmp: '/[^\\s"\']*',
};
const PH = /<(uuid|hex|hash|sha|time|timez|version|text|any|int|stamp|tmp|work|llm|key|base|hook)(?::(\d+))?>/g;
const isPlain = (v) => v && typeof v === 'object' && !Array.isArray(v);
const VOLATILE_NUM = new Set([
  'uptime',
  'idle_time',
  'pid',
  'latency',
  'accumulated_cost',
  'cost',
  'size_bytes',
  'duration_seconds',
  'response_time',
]);
const MACHINE = new Set([
  'username',
  'hostname',
  'py_interpreter_path',
  'python_version',
  'user_agent',
  'filename',
  'short_sha',
]); // differ from machine to machine
const PATHS = new Set(['persistence_dir', 'full_output_save_dir', 'log_completions_folder']); // only the conversation id in them matters
const SHAPE_ONLY = new Set(['description', 'system_prompt_text']);
const PROSE_KEYS = /(^|\.)(detail|msg|exception|error)$|\.observation\..*(text|content)$/;

class Norm {
  // real values -> placeholders (for --update)
  constructor(ctx) {
    this.ctx = ctx;
    this.ids = new Map();
  }
  id(u) {
    const k = u.replaceAll('-', '');
    if (!this.ids.has(k)) this.ids.set(k, this.ids.size + 1);
    return this.ids.get(k);
  }
  str(s, key) {
    const c = this.ctx;
    if (s.length > 400 || (SHAPE_ONLY.has(key) && s.length > 60)) return '<text>';
    for (const [v, p] of [
      [c.work, '<work>'],
      [c.llm, '<llm>'],
      [c.hook, '<hook>'],
      [c.base, '<base>'],
      [c.key, '<key>'],
    ])
      if (v) s = s.replaceAll(v, p);
    return s
      .replace(new RegExp(`\\b${UUID}\\b`, 'g'), (u) => `<uuid:${this.id(u)}>`)
      .replace(/(?<![0-9a-zA-Z])[0-9a-f]{40}(?![0-9a-zA-Z])/g, '<hash>')
      .replace(/(?<![0-9a-zA-Z])[0-9a-f]{32}(?![0-9a-zA-Z])/g, (u) => `<hex:${this.id(u)}>`)
      .replace(/\b\d{20}_/g, '<stamp>_')
      .replaceAll(c.run, '<run>')
      .replace(new RegExp(PATTERN.timez, 'g'), '<timez>')
      .replace(new RegExp(PATTERN.time, 'g'), '<time>')
      .replace(/\b1\.(?:1[0-9]|[2-9][0-9])\.\d+\b/g, '<version>')
      .replace(/\/tmp\/[\w./-]+/g, '<tmp>');
  }
  val(v, key) {
    if (typeof v === 'string')
      return MACHINE.has(key)
        ? '<any>'
        : PATHS.has(key)
          ? this.str(v).replace(/^.*(?=<hex)/s, '<any>')
          : this.str(v, key);
    if (typeof v === 'number') return VOLATILE_NUM.has(key) ? '<num>' : v;
    if (key === 'forgotten_event_ids') return { $each: '<uuid>', $min: v.length }; // a set: its order means nothing
    if (Array.isArray(v)) return v.map((x) => this.val(x, key));
    if (!isPlain(v)) return v;
    if (v.kind === 'SystemPromptEvent' && v.tools?.length)
      return {
        ...this.val({ ...v, tools: [] }, key),
        tools: v.tools.map((t) => ({
          $has: { kind: t.kind, title: t.title, description: '<text>', action_type: t.action_type },
        })),
      };
    if (key === 'tools' || key === 'parameters' || key === 'properties')
      if (JSON.stringify(v).length > 900) return '<object>';
    return Object.fromEntries(Object.entries(v).map(([k, x]) => [this.str(k), this.val(x, k)]));
  }
}
class Match {
  // golden against real, with identity of <uuid:n> kept over the whole file
  constructor(ctx) {
    this.ctx = ctx;
    this.bound = new Map();
    this.rev = new Map();
  }
  begin(where) {
    this.where = where;
    this.diffs = [];
    this.notes = [];
  }
  diff(p, want, got) {
    const show = (x) => {
      const s = JSON.stringify(x);
      return s === undefined ? 'nothing' : s.length > 220 ? `${s.slice(0, 220)}…` : s;
    };
    const line = `${this.where} › ${p || '(whole)'}: expected ${show(want)}, got ${show(got)}`;
    const prose =
      !opt.strict &&
      typeof want === 'string' &&
      typeof got === 'string' &&
      / /.test(want) &&
      PROSE_KEYS.test(p.replace(/\[\d+\]/g, ''));
    (prose ? this.notes : this.diffs).push(line);
  }
  str(want, got) {
    const names = [];
    const c = this.ctx;
    want = want.replaceAll('<run>', c.run);
    let re = '',
      last = 0;
    for (const m of want.matchAll(PH)) {
      re += want.slice(last, m.index).replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      last = m.index + m[0].length;
      const fixed = { work: c.work, llm: c.llm, key: c.key, base: c.base, hook: c.hook }[m[1]];
      if (fixed !== undefined) re += fixed.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      else {
        re += `(${PATTERN[m[1]]})`;
        names.push(m[2] ? m[2] : null);
      }
    }
    if (last === 0 && !names.length && !re) return want === got;
    const hit = new RegExp(`^${re}${want.slice(last).replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`).exec(got);
    if (!hit) return false;
    return names.every((n, i) => {
      if (!n) return true;
      const v = hit[i + 1].replaceAll('-', '');
      if (!this.bound.has(n)) {
        if (this.rev.has(v)) return false;
        this.bound.set(n, v);
        this.rev.set(v, n);
        return true;
      }
      return this.bound.get(n) === v;
    });
  }
  val(want, got, p) {
    if (want === '<ignore>') return;
    if (want === '<num>' || want === '<num?>') {
      if (typeof got !== 'number' && !(want === '<num?>' && got === null)) this.diff(p, want, got);
      return;
    }
    if (want === '<bool>') {
      if (typeof got !== 'boolean') this.diff(p, want, got);
      return;
    }
    if (want === '<object>') {
      if (!isPlain(got)) this.diff(p, want, got);
      return;
    }
    if (want === '<array>') {
      if (!Array.isArray(got)) this.diff(p, want, got);
      return;
    }
    if (want === '<str?>') {
      if (got !== null && typeof got !== 'string') this.diff(p, want, got);
      return;
    }
    if (typeof want === 'string') {
      if (typeof got !== 'string' || !this.str(want, got)) this.diff(p, want, got);
      return;
    }
    if (Array.isArray(want)) {
      if (!Array.isArray(got)) return this.diff(p, want, got);
      if (want.length !== got.length) this.diff(`${p}.length`, want.length, got.length);
      for (let i = 0; i < Math.min(want.length, got.length); i++) this.val(want[i], got[i], `${p}[${i}]`);
      return;
    }
    if (isPlain(want)) {
      if ('$each' in want) {
        // array whose every element matches; $min elements at least
        if (!Array.isArray(got)) return this.diff(p, 'an array', got);
        if (got.length < (want.$min || 0)) this.diff(`${p}.length`, `at least ${want.$min}`, got.length);
        got.forEach((g, i) => this.val(want.$each, g, `${p}[${i}]`));
        return;
      }
      if ('$contains' in want) {
        // array that has at least these elements
        if (!Array.isArray(got)) return this.diff(p, 'an array', got);
        for (const w of want.$contains)
          if (!got.some((g) => JSON.stringify(g) === JSON.stringify(w)))
            this.diff(p, `an array with ${JSON.stringify(w)}`, got);
        return;
      }
      if ('$oneOf' in want) {
        if (!want.$oneOf.some((w) => JSON.stringify(w) === JSON.stringify(got))) this.diff(p, want, got);
        return;
      }
      if ('$map' in want) {
        // object with free keys whose values match
        if (!isPlain(got)) return this.diff(p, 'an object', got);
        for (const [k, g] of Object.entries(got)) this.val(want.$map, g, `${p}.${k}`);
        return;
      }
      const part = want.$has || want;
      if (!isPlain(got)) return this.diff(p, want, got);
      const left = new Set(Object.keys(got));
      for (const k of Object.keys(part)) {
        const real = new RegExp(PH.source).test(k) ? [...left].find((g) => this.str(k, g)) : k;
        if (real === undefined || !(real in got)) this.diff(`${p}.${k}`, part[k], undefined);
        else {
          left.delete(real);
          this.val(part[k], got[real], `${p}.${k}`);
        }
      }
      if (!want.$has)
        for (const k of left)
          (opt['allow-extra'] ? this.notes : this.diffs).push(
            `${this.where} › ${p}.${k}: a key that the real server does not send, ${JSON.stringify(got[k]).slice(0, 120)}`,
          );
      return;
    }
    if (want !== got) this.diff(p, want, got);
  }
}
// ---------------------------------------------------------------- transport
function request(base, { method = 'GET', path: p, headers = {}, body, raw, multipart }) {
  const u = new URL(base);
  let data;
  if (raw !== undefined) data = Buffer.from(raw);
  else if (multipart) {
    const b = 'conformance-boundary';
    data = Buffer.from(
      `--${b}\r\nContent-Disposition: form-data; name="${multipart.field || 'file'}"; filename="${multipart.filename || 'f.txt'}"\r\nContent-Type: text/plain\r\n\r\n${multipart.text}\r\n--${b}--\r\n`,
    );
    headers = { 'content-type': `multipart/form-data; boundary=${b}`, ...headers };
  } else if (body !== undefined) {
    data = Buffer.from(JSON.stringify(body));
    headers = { 'content-type': 'application/json', ...headers };
  }
  if (data) headers = { ...headers, 'content-length': data.length };
  return new Promise((resolve, reject) => {
    const q = http.request(
      {
        host: u.hostname,
        port: u.port,
        method,
        path: u.pathname.replace(/\/$/, '') + p,
        headers,
        agent: false,
        timeout: TIMEOUT * 2,
      },
      (r) => {
        const parts = [];
        r.on('data', (c) => parts.push(c));
        r.on('error', reject);
        r.on('end', () => {
          const buf = Buffer.concat(parts);
          const type = (r.headers['content-type'] || '').toLowerCase();
          let json;
          if (type.includes('json')) {
            try {
              json = JSON.parse(buf.toString('utf8'));
            } catch {
              /* stays text */
            }
          }
          resolve({
            status: r.statusCode,
            headers: r.headers,
            type,
            buf,
            body: json !== undefined ? json : buf.toString('utf8'),
          });
        });
      },
    );
    q.on('timeout', () => q.destroy(new Error('request timed out')));
    q.on('error', reject);
    if (data) q.write(data);
    q.end();
  });
}
let WS; // loaded only when a file needs it
const loadWs = () => (WS ||= createRequire(path.join(process.cwd(), 'x.js'))('ws'));

// ---------------------------------------------------------------- servers started by the runner
async function startServer(env, dir, port) {
  port ||= await freePort();
  fs.mkdirSync(dir, { recursive: true });
  const log = fs.openSync(path.join(dir, 'server.log'), 'a');
  const clean = Object.fromEntries(Object.entries(process.env).filter(([k]) => !/^OH_|^SESSION_API_KEY$/.test(k)));
  const child = spawn('bash', ['-c', `exec ${opt.spawn}`], {
    env: { ...clean, HOST: '127.0.0.1', PORT: String(port), DIR: dir, ...env },
    stdio: ['ignore', log, log],
    detached: true,
  });
  const s = {
    child,
    base: `http://127.0.0.1:${port}`,
    dir,
    port,
    done: new Promise((r) =>
      child.on('exit', (code, sig) => {
        s.exit = { code, sig };
        r(s.exit);
      }),
    ),
  };
  for (const end = Date.now() + 180000; ;) {
    if (s.exit || Date.now() > end) throw new Error(`the server did not start, see ${dir}/server.log`);
    try {
      if ((await request(s.base, { path: '/ready' })).status === 200) break;
    } catch {
      /* not yet */
    }
    await sleep(150);
  }
  return s;
}
/** Whether a restart between two steps could be seen: something runs, or is open. */
async function restarts(s, socks) {
  if (Object.values(socks).some((k) => !k.close)) return false;
  const running = await request(s.base, {
    path: '/api/conversations/count?status=running',
    headers: { 'X-Session-API-Key': KEY },
  });
  return running.status === 200 && running.body === 0;
}
async function stopServer(s, signal = 'SIGTERM') {
  if (!s.exit) {
    try {
      process.kill(-s.child.pid, signal);
    } catch {
      /* gone */
    }
  }
  await Promise.race([s.done, sleep(20000)]);
  if (!s.exit) {
    try {
      process.kill(-s.child.pid, 'SIGKILL');
    } catch {
      /* gone */
    }
    await s.done;
  }
  for (let i = 0; i < 100; i++) {
    try {
      await request(s.base, { path: '/alive' });
      await sleep(100);
    } catch {
      break;
    }
  } // a child of the command may outlive it
}

// ---------------------------------------------------------------- playing one golden file
const get = (o, p) => p.split('.').reduce((x, k) => (x == null ? x : x[k]), o);
function fill(v, vars) {
  if (typeof v === 'string') {
    const whole = /^\$\{(\w+)\}$/.exec(v);
    if (whole && whole[1] in vars) return vars[whole[1]];
    return v.replace(/\$\{(\w+)(?:\|(\w+))?\}/g, (_, k, f) => {
      const x = String(vars[k] ?? '');
      return f === 'hex' ? x.replaceAll('-', '') : f === 'enc' ? encodeURIComponent(x) : x;
    });
  }
  if (Array.isArray(v)) return v.map((x) => fill(x, vars));
  if (isPlain(v))
    return Object.fromEntries(Object.entries(v).map(([k, x]) => [k === '$ref' ? k : fill(k, vars), fill(x, vars)]));
  return v;
}
const covers = (want, got) =>
  isPlain(want)
    ? isPlain(got) && Object.entries(want).every(([k, w]) => covers(w, got[k]))
    : Array.isArray(want)
      ? want.some((w) => covers(w, got))
      : want === got;
function setPath(obj, p, v) {
  const ks = p.split('.');
  const k = ks.pop();
  const o = ks.reduce((x, q) => x?.[q], obj);
  if (o && typeof o === 'object') {
    if (Array.isArray(o) && k === '*') o.fill(v);
    else o[k] = v;
  }
}
function eventView(frames) {
  // a stream of Event frames as: others in order, status values, state keys
  const seen = new Set();
  const events = [];
  const statuses = [];
  const state = {};
  for (const f of frames) {
    if (f && f.id) {
      if (seen.has(f.id)) continue;
      seen.add(f.id);
    }
    if (f?.kind !== 'ConversationStateUpdateEvent') {
      events.push(f);
      continue;
    }
    if (f.key === 'execution_status') {
      if (statuses.at(-1) !== f.value) statuses.push(f.value);
    } else state[f.key] ||= f;
  }
  return { events, statuses, state };
}
async function play(g, shared) {
  const run = randomUUID().slice(0, 8);
  const work = path.join(shared.work, `${g.name}-${run}`);
  fs.mkdirSync(work, { recursive: true });
  const vars = {
    run,
    work,
    key: KEY,
    llm: shared.llm,
    hook: shared.hookUrl,
    uuid1: randomUUID(),
    uuid2: randomUUID(),
    uuid3: randomUUID(),
    ...(g.vars || {}),
  };
  const servers = { main: shared.main || { base: shared.base } };
  const own = [];
  const ctx = {
    run,
    work,
    llm: shared.llm,
    key: KEY,
    hook: shared.hookUrl,
    get base() {
      return servers.main.base;
    },
  };
  const match = new Match(ctx);
  const norm = new Norm(ctx);
  const socks = {};
  const out = { diffs: [], notes: [], steps: 0 };
  Object.assign(scripts, fill(g.llm || {}, vars));
  hooks.log.length = 0;
  hooks.status = 200;
  hooks.only = '';
  for (const turns of Object.values(g.llm || {})) for (const t of turns) if (t.hold) gates.delete(t.hold);
  const check = (i, step, label, said) => {
    out.steps++;
    // Deltas are counted apart, so that streaming changes nothing else.
    const real = opt.stream ? JSON.parse(JSON.stringify(said).replaceAll('"stream":true', '"stream":false')) : said;
    if (opt.update) {
      const rec = norm.val(JSON.parse(JSON.stringify(real)));
      for (const [p, v] of Object.entries(step.mask || {})) setPath(rec, p, v);
      g.steps[i].expect = rec;
      return;
    }
    match.begin(`${g.name} › step ${i + 1} ${label}`);
    if (step.expect === undefined)
      match.diffs.push(`${match.where}: the golden file has no expectation (run with --update)`);
    else match.val(step.expect, JSON.parse(JSON.stringify(real)), '');
    out.diffs.push(...match.diffs);
    out.notes.push(...match.notes);
  };
  try {
    for (let i = 0; i < g.steps.length; i++) {
      const raw = g.steps[i];
      const { expect, mask, ...bare } = raw;
      const s = fill(bare, vars);
      if (
        opt.restart &&
        servers.main === shared.main &&
        i > 0 &&
        ['http', 'ws-open'].includes(s.do) &&
        (await restarts(shared.main, socks))
      ) {
        await stopServer(shared.main);
        shared.main = servers.main = await startServer(shared.env, shared.main.dir, shared.main.port);
        shared.restarted++;
      }
      if (opt.stream && s.body?.agent?.llm) s.body.agent.llm.stream = true;
      const server = servers[s.server || 'main'];
      const base = server?.base;
      const auth = { key: { 'X-Session-API-Key': KEY }, wrong: { 'X-Session-API-Key': 'wrong-key' }, none: {} }[
        s.auth || 'key'
      ];
      if (opt.verbose) console.log(`  ${i + 1} ${s.do} ${s.method || ''} ${s.path || s.as || ''}`);
      if (s.do === 'http') {
        const r = await request(base, { ...s, headers: { ...auth, ...s.headers } });
        for (const [k, p] of Object.entries(s.save || {}))
          vars[k] = get({ body: r.body, headers: r.headers, status: r.status }, p);
        if (s.quiet) {
          if (r.status >= 400)
            throw new Error(`${s.method || 'GET'} ${s.path} answered ${r.status} ${String(r.buf).slice(0, 300)}`);
          continue;
        }
        const real = { status: r.status, type: r.type };
        for (const h of s.see || []) (real.headers ||= {})[h] = r.headers[h] ?? null;
        if (s.view === 'bytes') real.bytes = r.buf.subarray(0, 2).toString('latin1');
        else if (s.view === 'kinds')
          real.kinds = (r.body.items || r.body)
            .map((e) => e && e.kind)
            .filter((k) => k !== 'ConversationStateUpdateEvent');
        else if (s.view === 'events')
          real.events = r.body.items.filter((e) => e.kind !== 'ConversationStateUpdateEvent');
        else if (s.view === 'keys') real.keys = Object.keys(r.body).sort();
        else if (s.view !== 'status') real.body = r.body;
        check(i, raw, `${s.method || 'GET'} ${raw.path}`, real);
      } else if (s.do === 'poll') {
        let r;
        const end = Date.now() + TIMEOUT;
        for (;;) {
          r = await request(base, { path: s.path, headers: auth });
          if (covers(s.until, r.body)) break;
          if (Date.now() > end)
            throw new Error(
              `waited in vain for ${JSON.stringify(s.until)} at ${s.path}; last ${r.status} ${JSON.stringify(r.body).slice(0, 200)}`,
            );
          await sleep(100);
        }
        for (const [k, p] of Object.entries(s.save || {})) vars[k] = get({ body: r.body }, p);
      } else if (s.do === 'ws-open') {
        const W = loadWs();
        const how = s.auth || 'header';
        let p = s.path;
        const add = (k) => {
          p += `${p.includes('?') ? '&' : '?'}session_api_key=${encodeURIComponent(k)}`;
        };
        if (how === 'query') add(KEY);
        if (how === 'wrong-query') add('wrong-key');
        const headers =
          how === 'header'
            ? { 'X-Session-API-Key': KEY }
            : how === 'wrong-header'
              ? { 'X-Session-API-Key': 'wrong-key' }
              : {};
        const w = new W(base.replace(/^http/, 'ws') + p, { headers: { ...headers, ...s.headers } });
        const k = (socks[s.as || 'a'] = { w, frames: [], taken: 0, close: null });
        w.on('message', (d) => {
          const t = d.toString();
          let j;
          try {
            j = JSON.parse(t);
          } catch {
            j = t;
          }
          if (opt.stream && j.kind === 'StreamingDeltaEvent') shared.deltas++;
          else k.frames.push(j);
        });
        w.on('close', (code, reason) => {
          k.close = { code, reason: reason.toString() };
        });
        const real = await new Promise((res) => {
          w.on('open', () => res({ open: true }));
          w.on('unexpected-response', (_, r) => {
            res({ open: false, status: r.statusCode });
            r.resume();
            w.terminate();
          });
          w.on('error', (e) => res({ open: false, error: e.code || e.message }));
        });
        if (how === 'first' && real.open) w.send(JSON.stringify({ type: 'auth', session_api_key: KEY }));
        if (how === 'wrong-first' && real.open) w.send(JSON.stringify({ type: 'auth', session_api_key: 'wrong-key' }));
        check(i, raw, `open ${raw.path} (${how})`, real);
      } else if (s.do === 'ws-send') {
        const w = socks[s.as || 'a'].w;
        w.send(s.text !== undefined ? s.text : JSON.stringify(s.frame));
      } else if (s.do === 'ws-binary') {
        socks[s.as || 'a'].w.send(Buffer.from(s.text || ''));
      } else if (s.do === 'ws-collect') {
        const k = socks[s.as || 'a'];
        const end = Date.now() + TIMEOUT;
        const u = s.until || {};
        const hit = () =>
          k.frames
            .slice(k.taken)
            .some((f) =>
              u.status
                ? f.kind === 'ConversationStateUpdateEvent' &&
                  (f.key === 'execution_status'
                    ? f.value === u.status
                    : f.key === 'full_state' && u.full && f.value.execution_status === u.status)
                : u.frame
                  ? covers(u.frame, f)
                  : false,
            ) ||
          (u.count !== undefined && k.frames.length - k.taken >= u.count);
        if (Object.keys(u).length)
          while (!hit()) {
            if (Date.now() > end || k.close)
              throw new Error(
                `waited in vain for ${JSON.stringify(u)} on the socket; ${k.close ? `closed ${JSON.stringify(k.close)}; ` : ''}kinds so far ${k.frames
                  .slice(k.taken)
                  .map((f) =>
                    f.kind === 'ConversationStateUpdateEvent'
                      ? `${f.key}=${typeof f.value === 'string' ? f.value : '…'}`
                      : f.kind || f.type || f,
                  )
                  .join(' ')
                  .slice(-400)}`,
              );
            await sleep(20);
          }
        for (let n = -1; n !== k.frames.length;) {
          n = k.frames.length;
          await sleep(s.quietMs || 350);
        }
        const got = k.frames.slice(k.taken);
        k.taken = k.frames.length;
        if (s.view === 'none') continue;
        const v = eventView(got);
        const real = {};
        for (const what of s.view ? [s.view].flat() : ['events', 'statuses']) {
          if (what === 'frames') real.frames = got;
          else if (what === 'kinds') real.kinds = v.events.map((e) => e.kind);
          else if (what === 'kindSet') real.kindSet = v.events.map((e) => e.kind).sort();
          else if (what === 'stateKeys') real.stateKeys = Object.keys(v.state).sort();
          else if (what === 'final') real.final = v.statuses.at(-1) ?? null;
          else if (what.startsWith('state:')) (real.state ||= {})[what.slice(6)] = v.state[what.slice(6)] || null;
          else if (what.startsWith('kind:')) real.events = v.events.filter((e) => e.kind === what.slice(5));
          else real[what] = v[what];
        }
        check(i, raw, `frames on ${s.as || 'a'}`, real);
      } else if (s.do === 'ws-close') {
        const k = socks[s.as || 'a'];
        if (s.wait) {
          for (const end = Date.now() + TIMEOUT; !k.close && Date.now() < end;) await sleep(20);
          check(i, raw, `close of ${s.as || 'a'}`, { close: k.close });
        } else k.w.close();
      } else if (s.do === 'release') gate(s.hold).open();
      else if (s.do === 'arrived')
        await Promise.race([
          gate(s.hold).arrived,
          sleep(TIMEOUT).then(() => {
            throw new Error(`the model was never asked for ${s.hold}`);
          }),
        ]);
      else if (s.do === 'sleep') await sleep(s.ms);
      else if (s.do === 'hook-status') {
        hooks.status = s.status;
        hooks.only = s.only || '';
      } else if (s.do === 'hook-clear') hooks.log.length = 0;
      else if (s.do === 'hook-collect') {
        const sel = () =>
          hooks.log.filter(
            (h) => !s.only || (s.only === 'events' ? h.path.includes('/events/') : h.path.endsWith('/conversations')),
          );
        const end = Date.now() + TIMEOUT;
        const enough = () =>
          (s.count ? sel().length >= s.count : true) &&
          (s.until
            ? sel().some((h) =>
                Array.isArray(h.body) ? h.body.some((e) => covers(s.until, e)) : covers(s.until, h.body),
              )
            : true);
        while (!enough()) {
          if (Date.now() > end)
            throw new Error(
              `waited in vain for the webhook; got ${sel()
                .map((h) => `${h.path} ${Array.isArray(h.body) ? h.body.map((e) => e.kind) : h.body.execution_status}`)
                .join(' | ')}`,
            );
          await sleep(50);
        }
        if (s.settleMs) await sleep(s.settleMs);
        const l = sel();
        const pickH = (h) =>
          Object.fromEntries((s.see || ['content-type', 'x-session-api-key']).map((n) => [n, h.headers[n] ?? null]));
        const real = {};
        for (const what of [s.view || ['events']].flat()) {
          if (what === 'requests')
            real.requests = l
              .slice(0, s.take || l.length)
              .map((h) => ({ method: h.method, path: h.path, headers: pickH(h), body: h.body }));
          if (what === 'heads')
            real.heads = l
              .slice(0, s.take || l.length)
              .map((h) => ({ method: h.method, path: h.path, headers: pickH(h) }));
          if (what === 'first')
            real.first = l[0] && { method: l[0].method, path: l[0].path, headers: pickH(l[0]), body: l[0].body };
          if (what === 'last') real.last = l.at(-1)?.body ?? null;
          if (what === 'count') real.count = l.length;
          if (what === 'sizes')
            real.maxBatch = Math.max(0, ...l.map((h) => (Array.isArray(h.body) ? h.body.length : 0)));
          if (what === 'statuses')
            real.statuses = l.map((h) => h.body.execution_status).filter((x, n, a) => x !== a[n - 1]);
          if (what === 'kinds')
            real.kinds = eventView(l.filter((h) => h.answered < 400).flatMap((h) => h.body)).events.map((e) => e.kind);
          if (what === 'events') real.events = eventView(l.flatMap((h) => h.body)).events;
          if (what === 'attempts') {
            const key = JSON.stringify(l[0].body);
            const same = l.filter((h) => JSON.stringify(h.body) === key);
            real.attempts = {
              answered: same.map((h) => h.answered).slice(0, s.take || 99),
              gapSeconds: same.slice(1, s.take || 99).map((h, n) => Math.round((h.t - same[n].t) / 1000)),
            };
          }
        }
        check(i, raw, 'webhook', real);
      } else if (s.do === 'server-start') {
        const dir = s.dir ? path.join(work, s.dir) : path.join(work, `server-${s.as || 'main'}`);
        const env = {
          OH_SESSION_API_KEYS_0: KEY,
          OH_SECRET_KEY: 'conformance-secret',
          ...(s.hooks ? { OH_WEBHOOKS_0_BASE_URL: shared.hookUrl } : {}),
          ...s.env,
        };
        for (const k of Object.keys(env)) if (env[k] === null) delete env[k];
        const again = servers[s.as || 'main'];
        const x = await startServer(env, dir, s.samePort ? again.port : 0);
        own.push(x);
        servers[s.as || 'main'] = x;
      } else if (s.do === 'server-stop') {
        await stopServer(servers[s.as || 'main'], s.signal);
      } else throw new Error(`unknown step ${s.do}`);
    }
  } catch (e) {
    out.diffs.push(`${g.name} › ${e.message}`);
  } finally {
    for (const k of Object.values(socks)) k.w.terminate();
    for (const gt of gates.values()) gt.open();
    for (const x of own) await stopServer(x);
  }
  return out;
}

// ---------------------------------------------------------------- main
for (const g of goldens) Object.assign(scripts, g.llm || {});
const llmPort = Number(opt['llm-port'] || (await freePort()));
const llmServer = await listen(llmHandler, llmPort);
const llm = opt['llm-url'] || `http://127.0.0.1:${llmPort}/v1`;
if (opt['llm-only']) {
  console.log(`scripted LLM at ${llm}; scripts: ${Object.keys(scripts).join(' ')}`);
  await new Promise(() => {});
}
const hookServer = await listen(hookHandler, Number(opt['hook-port'] || 0));
const shared = {
  work: opt.work || path.join(TMP, 'work'),
  llm,
  hookUrl: `http://127.0.0.1:${hookServer.address().port}`,
  base: opt['base-url'] || process.env.BASE_URL || 'http://127.0.0.1:8000',
  env: { OH_SESSION_API_KEYS_0: KEY, OH_SECRET_KEY: 'conformance-secret' },
  restarted: 0,
  deltas: 0,
};
if (opt.work) fs.mkdirSync(opt.work, { recursive: true });
const wanted = goldens.filter((g) => !(g.needs || []).includes('spawn') || opt.spawn);
const skipped = goldens.length - wanted.length;
let failed = 0,
  waiting = 0,
  notes = 0,
  steps = 0,
  crashed = null;
try {
  if (opt.spawn && !opt['base-url'] && wanted.some((g) => !(g.needs || []).includes('spawn')))
    shared.main = await startServer(shared.env, path.join(TMP, 'server-shared'));
  for (const g of wanted) {
    const t = Date.now();
    const r = await play(g, shared);
    steps += r.steps;
    notes += r.notes.length;
    if (opt.update && !r.diffs.length) {
      const { file, ...rest } = g;
      fs.writeFileSync(file, `${JSON.stringify(rest, null, 1)}\n`);
    }
    const late = pending.includes(g.name);
    if (late && !r.diffs.length) r.diffs.push('agrees now: take it off the list of pending scenarios');
    else if (late) {
      console.log(`late ${g.name} (${r.diffs.length} differences)`);
      waiting++;
      continue;
    }
    if (r.diffs.length) failed++;
    console.log(
      `${r.diffs.length ? 'FAIL' : opt.update ? 'REC ' : 'ok  '} ${g.name} (${r.steps} checks, ${((Date.now() - t) / 1000).toFixed(1)} s)`,
    );
    for (const d of r.diffs.slice(0, 25)) console.log(`     - ${d}`);
    if (r.diffs.length > 25) console.log(`     … ${r.diffs.length - 25} more`);
    for (const d of r.notes.slice(0, 6)) console.log(`     ~ ${d}`);
  }
} catch (e) {
  crashed = e;
  console.log(`FAIL ${e.stack}`);
} finally {
  if (shared.main) await stopServer(shared.main);
}
llmServer.closeAllConnections();
llmServer.close();
hookServer.closeAllConnections();
hookServer.close();
if (!opt.keep && !failed && !crashed) fs.rmSync(TMP, { recursive: true, force: true });
else console.log(`kept ${TMP}`);
console.log(
  `${wanted.length - failed - waiting} passed, ${failed + (crashed ? 1 : 0)} failed, ${skipped} skipped${waiting ? `, ${waiting} pending` : ''}`,
);
if (opt.restart) console.log(`the server was restarted ${shared.restarted} times`);
if (opt.stream) console.log(`${shared.deltas} deltas came by sockets`);
if (notes) console.log(`${notes} notes (prose or extra keys; --strict makes prose count)`);
process.exit(failed || crashed || !wanted.length || (opt.stream && !shared.deltas) ? 1 : 0);
