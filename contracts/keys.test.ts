import t from 'tap';
import { agentSecretKey, initKey, sameSecret, sessionKey } from './keys.js';
import { conversationDashed, conversationHex, newSlot, ownerLabel, slotOfSandbox, SLOT_PATTERN } from './names.js';

const SECRET = 'an installation secret of some length';

t.test('slots: stable for a uid, random for warm pods, always valid names', async (t) => {
  t.equal(slotOfSandbox('uid-1'), slotOfSandbox('uid-1'));
  t.not(slotOfSandbox('uid-1'), slotOfSandbox('uid-2'));
  const slots = new Set([slotOfSandbox('uid-1'), ...Array.from({ length: 1000 }, newSlot)]);
  t.equal(slots.size, 1001, 'no two are equal');
  for (const slot of slots) if (!SLOT_PATTERN.test(slot)) t.fail(slot);
});

t.test('keys: one for each purpose, slot and epoch, derivable by everyone who has the secret', async (t) => {
  const slot = slotOfSandbox('uid-1');
  const keys = [
    sessionKey(SECRET, slot, 1),
    sessionKey(SECRET, slot, 2),
    sessionKey(SECRET, slotOfSandbox('uid-2'), 1),
    sessionKey(`${SECRET}!`, slot, 1),
    agentSecretKey(SECRET, slot),
    initKey(SECRET, slot),
  ];
  t.equal(new Set(keys).size, keys.length);
  // Pinned: the gateway of one release must accept the keys that the operator of another gave out.
  t.equal(sessionKey(SECRET, 'saaaaaaaaaaaaa', 1), 'xmcv6czpG0YbrOKYCj8olPOQXU7zqV0sMDCB15PAqOE');
  for (const key of keys) t.match(key, /^[A-Za-z0-9_-]{43}$/);
});

t.test('secrets are compared whole', async (t) => {
  t.ok(sameSecret('abc', 'abc'));
  for (const other of ['abd', 'ab', 'abcd', '']) t.notOk(sameSecret('abc', other), other);
});

t.test('conversation ids: both spellings', async (t) => {
  const dashed = '0b6a5d1e-0b1c-4a7d-9d3e-1f2a3b4c5d6e';
  t.equal(conversationHex(dashed.toUpperCase()), '0b6a5d1e0b1c4a7d9d3e1f2a3b4c5d6e');
  t.equal(conversationDashed(conversationHex(dashed)), dashed);
  t.equal(conversationDashed(dashed), dashed);
});

t.test('owners become labels whatever they hold', async (t) => {
  for (const owner of ['user@example.com', 'x'.repeat(1000), 'Ü/🦀']) t.match(ownerLabel(owner), /^[0-9a-f]{32}$/);
});
