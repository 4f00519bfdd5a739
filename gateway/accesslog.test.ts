import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createAccessLog, lineWriter } from './accesslog.js';
import { decide } from './decide.js';
import { headToKeep } from './http/request.js';
import { hostOf, keyOf, requestTo, slotNamed, waitFor } from './testing/harness.js';
import { filledTable, rulesOf } from './testing/table.js';

const A = slotNamed('a');
const NOW = Date.parse('2026-11-23T12:00:00Z');
const TRACE = '0af7651916cd43dd8448eb211c80319c';

const asked = (target: string, host = hostOf(A)) =>
  requestTo(host, target, { traceparent: `00-${TRACE}-b7ad6b7169203331-01` });

t.test('slot, sandbox, owner and source, never the query', async (t) => {
  const { table } = filledTable();
  const head = asked(`/p?session_api_key=${keyOf(A)}`);
  const decision = decide(head, table, rulesOf(), NOW);
  const context = decision.do === 'forward' ? decision.forward : undefined;
  const finished = { ip: '1.2.3.4', status: 200, reason: undefined, context, grant: 'key', bytesIn: 1 } as const;
  const lineOf = lineWriter();
  const line = lineOf({ ...finished, head, bytesOut: 2, ms: 3.14 }, NOW);
  const said = {
    level: 'info',
    time: '2026-11-23T12:00:00.000Z',
    name: 'access',
    ip: '1.2.3.4',
    method: 'GET',
    host: hostOf(A),
    path: '/p',
    status: 200,
    slot: A,
    sandbox: `box-${A}`,
    owner: 'alice',
    port: 'agent',
    source: 'host',
    grant: 'key',
    trace: TRACE,
    in: 1,
    out: 2,
    ms: 3.1,
  };
  t.strictSame(JSON.parse(line), said);
  t.ok(line.endsWith('}\n'));
  t.notMatch(line, keyOf(A));
  const later = lineOf({ ...finished, head, bytesOut: 2, ms: 7 }, NOW + 1);
  t.strictSame(JSON.parse(later), { ...said, time: '2026-11-23T12:00:00.001Z', ms: 7 });
  const { level: _level, time, owner, ...others } = said;
  t.strictSame(
    JSON.parse(lineWriter(true)({ ...finished, head, bytesOut: 2, ms: 3.14 }, NOW)),
    { ...others, message: 'GET 200', severity: 'INFO', timestamp: time, user_id: owner },
    'under LOG_JSON',
  );
  const ofSocket = lineOf({ ...finished, head: headToKeep(head), bytesOut: 2, ms: 3.14 }, NOW);
  t.match(JSON.parse(ofSocket), { path: '/p', trace: TRACE }, 'what is kept of a WebSocket’s head has the trace too');
});

t.test('what a client or a Sandbox chooses cannot begin another field or line', async (t) => {
  const { table } = filledTable();
  const path = '/"},{"owner":"bob\\';
  const head = asked(path, hostOf(A, '3000'));
  const decision = decide(head, table, rulesOf(), NOW);
  const found = decision.do === 'forward' ? decision.forward : undefined;
  if (found === undefined) return t.fail('a public port');
  const owner = 'größer\n"als"\u2028';
  const context = { ...found, route: { ...found.route, owner }, port: { ...found.port, name: undefined } };
  const line = lineWriter()(
    {
      ip: '::1',
      head,
      status: 404,
      reason: 'NothingListening',
      context,
      grant: 'public',
      bytesIn: 0,
      bytesOut: 0,
      ms: 0,
    },
    NOW,
  );
  t.match(JSON.parse(line), { path, owner, port: 3000, reason: 'NothingListening', ms: 0 });
  t.equal(line.indexOf('\n'), line.length - 1);
});

t.test('of what could not be read there is nothing to say', async (t) => {
  const unread = { head: undefined, context: undefined, grant: undefined, reason: 'BadRequest' } as const;
  const finished = { ...unread, ip: '::1', status: 400, bytesIn: 0, bytesOut: 9, ms: 0 };
  const said = { name: 'access', ip: '::1', status: 400, reason: 'BadRequest', in: 0, out: 9, ms: 0 };
  const time = new Date(NOW).toISOString();
  t.strictSame(JSON.parse(lineWriter()(finished, NOW)), { level: 'info', time, ...said });
  t.strictSame(JSON.parse(lineWriter(true)(finished, NOW)), {
    severity: 'INFO',
    timestamp: time,
    message: '- 400',
    ...said,
  });
});

t.test(
  'every line is written once and in order: when there are many, by and by, and the rest at the end',
  async (t) => {
    const file = join(t.testdir(), 'log');
    const log = createAccessLog(openSync(file, 'a'));
    const write = (bytesOut: number) =>
      log.write({
        ip: '::1',
        head: undefined,
        status: 400,
        reason: 'BadRequest',
        context: undefined,
        grant: undefined,
        bytesIn: 0,
        bytesOut,
        ms: 0,
      });
    const written = () => {
      const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
      return lines.map((line) => (JSON.parse(line) as { out: number }).out);
    };
    const upTo = (count: number) => Array.from({ length: count }, (_, at) => at);
    for (const at of upTo(1000)) write(at);
    await waitFor(() => written().length === 1000);
    t.strictSame(written(), upTo(1000));
    write(1000);
    log.close();
    t.strictSame(written(), upTo(1001));
  },
);
