/** What all parts of the node share. */
import { readFile, writeFile, mkdir } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { KubeClient } from '../../kube/client.js';
import type { EventText } from '../../kube/events.js';
import type { Pod } from '../../kube/kinds.js';
import type { Log } from '../../kube/log.js';
import type { Clock } from '../../kube/types.js';
import type { Addresses } from './addresses.js';
import type { ImageMap } from './images.js';
import type { Layout } from './layout.js';
import type { ProcessBook } from './spawn.js';

export interface Node {
  name: string;
  /** First part of the mark of all its processes. */
  mark: string;
  client: KubeClient;
  clock: Clock;
  log: Log;
  layout: Layout;
  addresses: Addresses;
  hostIP: string;
  images: ImageMap;
  /** Variables that every container starts with: where programs are and which language they speak. */
  baseEnv: Readonly<Record<string, string>>;
  book: ProcessBook;
  /** First wait of a crash loop, ms; the kubelet's is 10 s. */
  backoffMs: number;
  event(pod: Pod, event: EventText): void;
  /** Background work that must end before the node has stopped; its failure is logged. */
  track(work: Promise<unknown>): void;
}

/** The name of this cluster, made once; it tells its processes from those of other clusters on the machine. */
export async function clusterId(dataDir: string): Promise<string> {
  const file = join(dataDir, 'cluster-id');
  const known = await readFile(file, 'utf8').catch(() => '');
  if (/^[0-9a-f]{16}$/.test(known.trim())) return known.trim();
  const made = randomBytes(8).toString('hex');
  await mkdir(dataDir, { recursive: true });
  await writeFile(file, `${made}\n`);
  return made;
}
