// Makes a Sandbox, waits until it is Ready, asks it through the gateway, deletes it. Run by `helm test`.
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const { NAMESPACE, GATEWAY, DOMAIN, HOSTNAME } = process.env;
const token = readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/token', 'utf8');
const sandboxes = `https://kubernetes.default.svc/apis/sandlot.dev/v1alpha1/namespaces/${NAMESPACE}/sandboxes`;
const name = HOSTNAME;

async function call(method, url, body) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(10_000) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${text.slice(0, 500)}`);
  return JSON.parse(text);
}

async function ready() {
  let last = 'no status yet: does the operator run?';
  for (let second = 0; second < 300; second++) {
    const { status } = await call('GET', `${sandboxes}/${name}`);
    const condition = status?.conditions?.find(({ type }) => type === 'Ready');
    if (condition?.status === 'True') return status;
    if (condition !== undefined) last = `${condition.reason}: ${condition.message}`;
    await sleep(1000);
  }
  throw new Error(`the sandbox did not become Ready in five minutes; ${last}`);
}

const throughGateway = (slot) =>
  new Promise((resolve, reject) => {
    const headers = { host: `${slot}.${DOMAIN}` };
    request({ host: GATEWAY, port: 3001, path: '/alive', headers, timeout: 10_000 }, (answer) => resolve(answer.resume().statusCode))
      .on('error', reject)
      .end();
  });

await call('POST', sandboxes, { apiVersion: 'sandlot.dev/v1alpha1', kind: 'Sandbox', metadata: { name }, spec: { template: 'default' } });
try {
  const { slot, nodeName } = await ready();
  console.log(`the sandbox is Ready on node ${nodeName}`);
  let status;
  for (let tries = 0; tries < 20 && status !== 200; tries++) {
    if (tries > 0) await sleep(500);
    status = await throughGateway(slot);
  }
  if (status !== 200) throw new Error(`the gateway answered ${status} for it`);
  console.log('it answers through the gateway');
} finally {
  await call('DELETE', `${sandboxes}/${name}`);
}
