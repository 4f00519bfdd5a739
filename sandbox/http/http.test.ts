import t from 'tap';
import { z } from 'zod';
import { answerFor, HttpError, redactInput, ValidationError } from './errors.js';
import { complaintOf, pythonJsonError } from './json.js';
import { optionalChoice, optionalFlag, optionalInt, optionalTime, parseTime, requiredUuids } from './query.js';
import { hexOf, parseUuid, uuidProblem } from './uuid.js';
import { check, parseBody, valueError } from './validate.js';
import { keyIsGood } from './auth.js';

const problemsOf = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    if (error instanceof ValidationError) return error.problems;
    throw error;
  }
  return [];
};

t.test('JSON complaints are those of Python', async (t) => {
  for (const [text, at, message] of [
    ['{not json', 1, 'Expecting property name enclosed in double quotes'],
    ['', 0, 'Expecting value'],
    ['{"a" 1}', 5, "Expecting ':' delimiter"],
    ['{"a":1 "b"}', 7, "Expecting ',' delimiter"],
    ['[1,]', 3, 'Expecting value'],
    ['"abc', 0, 'Unterminated string starting at'],
    ['{} x', 3, 'Extra data'],
    ['{"a":"\n"}', 6, 'Invalid control character at'],
  ] as const)
    t.same(complaintOf(text), { at, message }, text);
  t.equal(pythonJsonError('{\n"a"}'), "Expecting ':' delimiter: line 2 column 4 (char 5)");
});

t.test('UUIDs in every spelling, and what is wrong with others', async (t) => {
  const uuid = '0e4fd3c4-7f3a-4c6b-9d4e-2b1f0a9c8d7e';
  for (const spelling of [uuid, uuid.toUpperCase(), hexOf(uuid), `{${uuid}}`, `urn:uuid:${uuid}`])
    t.equal(parseUuid(spelling), uuid, spelling);
  t.equal(parseUuid('nope'), undefined);
  t.match(uuidProblem('nope', []).msg, /invalid character: found `n` at 0/);
  t.match(uuidProblem('abc', []).msg, /invalid length/);
  t.match(uuidProblem('a-b', []).msg, /invalid group count: expected 5, found 2/);
});

t.test('bodies: what zod finds is told as FastAPI tells it', async (t) => {
  const schema = z.looseObject({
    title: z.string().min(1).max(3),
    count: z.number().optional(),
    kind: z.enum(['a', 'b']).optional(),
    tags: z.record(z.string(), z.string()).optional(),
    word: z
      .string()
      .refine((word) => word !== 'bad', valueError('bad word'))
      .optional(),
  });
  const told = (value: unknown) =>
    problemsOf(() => check(value, schema, ['body'])).map(
      (problem) => `${problem.loc.join('.')} ${problem.type}: ${problem.msg}`,
    );
  t.same(told({}), ['body.title missing: Field required']);
  t.same(told({ title: '' }), ['body.title string_too_short: String should have at least 1 character']);
  t.same(told({ title: 'long' }), ['body.title string_too_long: String should have at most 3 characters']);
  t.same(told({ title: 1 }), ['body.title string_type: Input should be a valid string']);
  t.same(told({ title: 'x', kind: 'c' }), ["body.kind enum: Input should be 'a' or 'b'"]);
  t.same(told({ title: 'x', tags: { a: 1 } }), ['body.tags.a string_type: Input should be a valid string']);
  t.same(told({ title: 'x', word: 'bad' }), ['body.word value_error: Value error, bad word']);
  t.same(
    problemsOf(() => check({ more: 1 }, z.strictObject({}), ['body'])),
    [{ type: 'extra_forbidden', loc: ['body', 'more'], msg: 'Extra inputs are not permitted', input: 1 }],
  );
  t.same(
    problemsOf(() => parseBody(undefined, schema)).map((problem) => problem.loc),
    [['body']],
  );
  t.same(parseBody(undefined, z.object({}), { optional: true }), {});
});

t.test('query parameters', async (t) => {
  t.equal(optionalInt({ limit: '5' }, 'limit', { gt: 0, le: 100 }), 5);
  for (const limit of ['0', '101', 'x', ''])
    t.equal(problemsOf(() => optionalInt({ limit }, 'limit', { gt: 0, le: 100 })).length, 1, limit);
  t.equal(optionalFlag({ all: 'false' }, 'all'), false);
  t.equal(problemsOf(() => optionalFlag({ all: 'maybe' }, 'all')).length, 1);
  t.equal(optionalChoice({ o: 'B' }, 'o', ['A', 'B']), 'B');
  t.equal(problemsOf(() => optionalChoice({ o: 'C' }, 'o', ['A', 'B'])).length, 1);
  t.equal(problemsOf(() => requiredUuids({}, 'ids')).length, 1);
  t.equal(problemsOf(() => optionalTime({ at: 'nope' }, 'at')).length, 1);
});

t.test('times: zones, fractions, local time without a zone', async (t) => {
  t.equal(parseTime('2026-05-01T00:00:00Z'), Date.UTC(2026, 4, 1) * 1000);
  t.equal(parseTime('2026-05-01T02:00:00.000001+02:00'), Date.UTC(2026, 4, 1) * 1000 + 1);
  t.equal(parseTime('2026-05-01T10:00:00.5'), new Date(2026, 4, 1, 10, 0, 0, 500).getTime() * 1000);
  t.equal(parseTime('2026-05-01'), new Date(2026, 4, 1).getTime() * 1000);
  t.equal(parseTime('nope'), undefined);
});

t.test('errors: secrets stay out, server errors are masked', async (t) => {
  t.same(redactInput({ llm: { api_key: 'sk', model: 'm' }, list: [{ token: 't' }] }), {
    llm: { api_key: '<redacted>', model: 'm' },
    list: [{ token: '<redacted>' }],
  });
  t.same(answerFor(new HttpError(404), 'x'), { status: 404, body: { detail: 'Not Found' } });
  t.same(answerFor(new HttpError(503, 'asleep'), 'x'), {
    status: 503,
    body: { detail: 'Internal Server Error', exception: '503: asleep' },
  });
  t.same(answerFor(new Error('boom'), 'id1'), {
    status: 500,
    body: { detail: 'Internal Server Error', exception: 'boom', error_id: 'id1' },
  });
});

t.test('keys: any of the list, none when there is no list', async (t) => {
  t.ok(keyIsGood(['a', 'b'], 'b'));
  t.notOk(keyIsGood(['a', 'b'], 'c'));
  t.notOk(keyIsGood(['a'], undefined));
  t.ok(keyIsGood([], undefined));
});
