/** Makes a pod's volumes as folders. Content of Secrets and ConfigMaps is that of the pod's start: later changes do not come in. */
import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import type { ConfigMap, Container, PersistentVolumeClaim, Secret, Volume } from '../../kube/kinds.js';
import { ContainerConfigError, type References } from './env.js';
import { fieldValue, resourceValue, type PodFacts } from './fields.js';
import type { Layout } from './layout.js';
import type { Mount } from './rewrite.js';

/** A volume that cannot be made (yet): kubelet's reason FailedMount. */
export class VolumeError extends Error {
  override readonly name = 'VolumeError';
}

interface Item {
  key: string;
  path: string;
  mode?: number;
}
interface DownwardItem {
  path: string;
  mode?: number;
  fieldRef?: { fieldPath: string };
  resourceFieldRef?: { resource: string; containerName?: string; divisor?: string };
}
interface Source {
  secret?: { name: string; items?: Item[]; optional?: boolean };
  configMap?: { name: string; items?: Item[]; optional?: boolean };
  downwardAPI?: { items?: DownwardItem[] };
  serviceAccountToken?: unknown;
}
/** The volume kinds that kube/ does not name. */
type AnyVolume = Volume & {
  downwardAPI?: { items?: DownwardItem[]; defaultMode?: number };
  hostPath?: { path: string };
  projected?: { sources?: Source[]; defaultMode?: number };
};

export interface VolumeContext {
  facts: PodFacts;
  layout: Layout;
  references: References;
  claim(name: string): PersistentVolumeClaim | undefined;
}

interface File {
  path: string;
  data: string | Buffer;
  mode: number;
}

/** Makes all volumes; answers volume name → folder. @throws VolumeError */
export async function makeVolumes(context: VolumeContext): Promise<Map<string, string>> {
  const { pod } = context.facts;
  const folders = new Map<string, string>();
  for (const volume of (pod.spec.volumes ?? []) as AnyVolume[])
    folders.set(volume.name, await makeVolume(volume, context));
  return folders;
}

async function makeVolume(volume: AnyVolume, context: VolumeContext): Promise<string> {
  const { layout, facts } = context;
  if (volume.persistentVolumeClaim !== undefined)
    return await claimFolder(volume.persistentVolumeClaim.claimName, context);
  if (volume.ephemeral !== undefined) return await ephemeralFolder(volume.name, context);
  if (volume.hostPath !== undefined) return volume.hostPath.path;
  const folder = join(layout.pod(facts.pod.metadata.uid ?? '').volumes, volume.name);
  if (volume.emptyDir !== undefined) {
    await mkdir(folder, { recursive: true });
    return folder;
  }
  const files = filesOf(volume, context);
  if (files === undefined)
    throw new VolumeError(
      `volume "${volume.name}": this one-machine cluster has emptyDir, secret, configMap, downwardAPI, projected, hostPath, persistentVolumeClaim and ephemeral volumes only`,
    );
  await writeFiles(folder, files);
  return folder;
}

/** As the kubelet: a claim of that name that the pod does not control is somebody else's. */
async function ephemeralFolder(volume: string, context: VolumeContext): Promise<string> {
  const { name, uid } = context.facts.pod.metadata;
  const found = context.claim(`${name}-${volume}`);
  const owners = found?.metadata.ownerReferences ?? [];
  if (found !== undefined && !owners.some((owner) => owner.controller === true && owner.uid === uid))
    throw new VolumeError(`persistentvolumeclaim "${name}-${volume}" was not created for pod "${name}"`);
  return await claimFolder(`${name}-${volume}`, context);
}

async function claimFolder(name: string, { claim, layout }: VolumeContext): Promise<string> {
  const found = claim(name);
  if (found === undefined) throw new VolumeError(`persistentvolumeclaim "${name}" not found`);
  if (found.metadata.deletionTimestamp !== undefined)
    throw new VolumeError(`persistentvolumeclaim "${name}" is being deleted`);
  if (found.status?.phase !== 'Bound') throw new VolumeError(`persistentvolumeclaim "${name}" is not bound yet`);
  const folder = layout.claim(found);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return folder;
}

const DEFAULT_MODE = 0o644;

/** Files of a volume that is made of objects; undefined when it is of no such kind. Pure. */
export function filesOf(volume: AnyVolume, context: Pick<VolumeContext, 'facts' | 'references'>): File[] | undefined {
  const { secret, configMap, projected, downwardAPI } = volume;
  if (secret !== undefined)
    return sourceFiles({ secret: { ...secret, name: secret.secretName } }, secret.defaultMode, context);
  if (configMap !== undefined) return sourceFiles({ configMap }, configMap.defaultMode, context);
  if (downwardAPI !== undefined) return sourceFiles({ downwardAPI }, downwardAPI.defaultMode, context);
  return projected?.sources?.flatMap((source) => sourceFiles(source, projected.defaultMode, context));
}

function sourceFiles(
  source: Source,
  mode = DEFAULT_MODE,
  { facts, references }: Pick<VolumeContext, 'facts' | 'references'>,
): File[] {
  const { secret, configMap, downwardAPI } = source;
  if (secret !== undefined) {
    const found = references.secret(secret.name);
    if (found === undefined && secret.optional !== true) throw new VolumeError(`secret "${secret.name}" not found`);
    return picked(secretBytes(found), secret, mode);
  }
  if (configMap !== undefined) {
    const found = references.configMap(configMap.name);
    if (found === undefined && configMap.optional !== true)
      throw new VolumeError(`configmap "${configMap.name}" not found`);
    return picked(configMapBytes(found), configMap, mode);
  }
  // Service account tokens are not issued: processes that want the API get a kubeconfig.
  return (downwardAPI?.items ?? []).map((item) => ({
    path: item.path,
    data: downward(item, facts),
    mode: item.mode ?? mode,
  }));
}

function downward(item: DownwardItem, facts: PodFacts): string {
  if (item.fieldRef !== undefined) return fieldValue(item.fieldRef.fieldPath, facts) ?? '';
  const { resourceFieldRef } = item;
  const containers: Container[] = facts.pod.spec.containers;
  const container = containers.find(({ name }) => name === resourceFieldRef?.containerName) ?? containers[0];
  return resourceFieldRef === undefined || container === undefined ? '' : resourceValue(resourceFieldRef, container);
}

const secretBytes = (secret: Secret | undefined): Record<string, Buffer> =>
  Object.fromEntries(Object.entries(secret?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')]));

const configMapBytes = (map: ConfigMap | undefined): Record<string, Buffer> =>
  Object.fromEntries([
    ...Object.entries(map?.data ?? {}).map(([key, value]) => [key, Buffer.from(value)] as const),
    ...Object.entries(map?.binaryData ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')] as const),
  ]);

function picked(
  data: Record<string, Buffer>,
  { items, optional }: { items?: Item[]; optional?: boolean },
  mode: number,
): File[] {
  if (items === undefined) return Object.entries(data).map(([path, bytes]) => ({ path, data: bytes, mode }));
  return items.flatMap((item) => {
    const bytes = data[item.key];
    if (bytes !== undefined) return [{ path: item.path, data: bytes, mode: item.mode ?? mode }];
    if (optional === true) return [];
    throw new VolumeError(`references non-existent key: ${item.key}`);
  });
}

/** Into a new folder that then takes the old one's place, so that a file never stands half-written. */
async function writeFiles(folder: string, files: File[]): Promise<void> {
  const fresh = `${folder}.new`;
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { recursive: true });
  for (const { path, data, mode } of files) {
    const target = join(fresh, inside(path));
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, data);
    await chmod(target, mode);
  }
  await rm(folder, { recursive: true, force: true });
  await rename(fresh, folder);
}

/** A path below the volume, or a VolumeError: the API refuses `..`, but this is the last place to be sure. */
function inside(path: string): string {
  const clean = normalize(path);
  if (clean.startsWith('/') || clean === '..' || clean.startsWith('../'))
    throw new VolumeError(`bad path in a volume: ${path}`);
  return clean;
}

/** The mounts of one container. @throws ContainerConfigError for a mount without volume, or a subPath that leaves it. */
export async function mountsOf(container: Container, folders: ReadonlyMap<string, string>): Promise<Mount[]> {
  const mounts: Mount[] = [];
  for (const { name, mountPath, subPath, readOnly } of container.volumeMounts ?? []) {
    const folder = folders.get(name);
    if (folder === undefined) throw new ContainerConfigError(`volume mount "${name}" names no volume of the pod`);
    const target = subPath === undefined || subPath === '' ? folder : join(folder, inside(subPath));
    // A subPath that is not there is made as a folder, as the real kubelet does.
    await mkdir(target, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    mounts.push({ mountPath, folder: target, readOnly: readOnly ?? false });
  }
  return mounts;
}
