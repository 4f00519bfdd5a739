/** What a new cluster is given: the CRDs (at each start), and at the first a template and a pool of warm pods. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { SANDBOX_POOL, SANDBOX_TEMPLATE } from '../../contracts/resources.js';
import { isAlreadyExists, isNotFound, type KubeClient } from '../../kube/client.js';
import { CUSTOM_RESOURCE_DEFINITION, type CustomResourceDefinition } from '../../kube/kinds.js';
import type { Kind, KubeObject } from '../../kube/types.js';
import { packageRoot } from '../../process/root.js';

const FIELD_MANAGER = 'sandlot-up';
export const DEFAULT_NAME = 'default';
/** Of the operator, and of all that users make. */
export const NAMESPACE = 'default';

export async function applyDefinitions(client: Pick<KubeClient, 'apply'>): Promise<void> {
  const folder = join(packageRoot(), 'crds');
  const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
  const definitions = files.map((name) => parse(readFileSync(join(folder, name), 'utf8')) as CustomResourceDefinition);
  await Promise.all(
    definitions.map((definition) =>
      client.apply(CUSTOM_RESOURCE_DEFINITION, definition, { fieldManager: FIELD_MANAGER, force: true }),
    ),
  );
}

export interface Defaults {
  image: string;
  /** Warm pods to keep. */
  warm: number;
}

/** Made when missing and never changed after: they are the user's from then on. A pool that was deleted stays deleted. */
export async function createDefaults(
  client: Pick<KubeClient, 'create' | 'get'>,
  { image, warm }: Defaults,
): Promise<void> {
  const ref = { namespace: NAMESPACE, name: DEFAULT_NAME };
  const known = await client.get(SANDBOX_TEMPLATE, ref).catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
  if (known !== undefined) return;
  // Pool first: a start that is cut short between the two makes both at the next.
  await create(client, SANDBOX_POOL, { metadata: ref, spec: { template: DEFAULT_NAME, replicas: warm } });
  await create(client, SANDBOX_TEMPLATE, {
    metadata: ref,
    spec: { image, workspace: { kind: 'Claim', size: '10Gi' }, terminationGracePeriodSeconds: 10 },
  });
}

async function create(
  client: Pick<KubeClient, 'create'>,
  kind: Kind,
  object: KubeObject & { spec: unknown },
): Promise<void> {
  await client.create(kind, object as KubeObject).catch((error: unknown) => {
    if (!isAlreadyExists(error)) throw error;
  });
}
