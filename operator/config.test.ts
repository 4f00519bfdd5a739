import t from 'tap';
import { limitPolicyOf, readOperatorConfig } from './config.js';

const base = { SANDLOT_SECRET: 'x'.repeat(32) };

t.test('limits: none unless told; single owners have their own', async (t) => {
  t.same(limitPolicyOf(readOperatorConfig(base)), {
    perOwner: undefined,
    perNamespace: undefined,
    ofOwners: new Map(),
    overOwnerLimit: 'Refuse',
  });
  const policy = limitPolicyOf(
    readOperatorConfig({
      ...base,
      SANDLOT_MAX_RUNNING_PER_OWNER: '5',
      SANDLOT_MAX_RUNNING_OF_OWNERS: '{"alice":20,"bob":0}',
      SANDLOT_OVER_OWNER_LIMIT: 'PauseLeastActive',
    }),
  );
  t.match(policy, { perOwner: 5, overOwnerLimit: 'PauseLeastActive' });
  t.same(
    [...(policy.ofOwners ?? [])],
    [
      ['alice', 20],
      ['bob', 0],
    ],
  );
});

t.test('a wrong limit stops the process and says what is wrong', async (t) => {
  for (const wrong of ['alice=20', '[1]', '{"alice":-1}', '{"alice":"20"}', '{'])
    t.throws(
      () => readOperatorConfig({ ...base, SANDLOT_MAX_RUNNING_OF_OWNERS: wrong }),
      /must be a JSON object/,
      wrong,
    );
  t.throws(() => readOperatorConfig({ ...base, SANDLOT_OVER_OWNER_LIMIT: 'Kill' }), /SANDLOT_OVER_OWNER_LIMIT/);
});

t.test('shards: one unless told; no limit that several cannot hold', async (t) => {
  t.same(readOperatorConfig(base).SANDLOT_SHARD, { index: 0, count: 1 });
  t.same(readOperatorConfig({ ...base, SANDLOT_SHARD: '1/2' }).SANDLOT_SHARD, { index: 1, count: 2 });
  t.throws(() => readOperatorConfig({ ...base, SANDLOT_SHARD: '2/2' }), /SANDLOT_SHARD: must be like 0\/2/);
  const limited = { ...base, SANDLOT_MAX_RUNNING_PER_NAMESPACE: '9' };
  t.equal(readOperatorConfig({ ...limited, SANDLOT_SHARD: '0/1' }).SANDLOT_MAX_RUNNING_PER_NAMESPACE, 9);
  t.throws(
    () => readOperatorConfig({ ...limited, SANDLOT_SHARD: '0/2' }),
    /PER_NAMESPACE: cannot be held .*ResourceQuota/,
  );
});
