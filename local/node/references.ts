/** Reads the Secrets and ConfigMaps that a pod refers to. */
import { isNotFound, type KubeClient } from '../../kube/client.js';
import { CONFIG_MAP, SECRET, type Container, type KindOf, type Pod, type Volume } from '../../kube/kinds.js';
import type { KubeObject } from '../../kube/types.js';
import type { References } from './env.js';

interface ObjectNames {
  secrets: string[];
  configMaps: string[];
}

/** Names of what a pod refers to. Pure. */
export function referencesOf({ spec }: Pod): ObjectNames {
  const containers = [...spec.containers, ...(spec.initContainers ?? [])];
  const all = [...containers.flatMap(containerReferences), ...(spec.volumes ?? []).map(volumeReferences)];
  return {
    secrets: [...new Set(all.flatMap(({ secrets }) => secrets))],
    configMaps: [...new Set(all.flatMap(({ configMaps }) => configMaps))],
  };
}

function containerReferences({ env = [], envFrom = [] }: Container): ObjectNames[] {
  return [
    ...env.map(({ valueFrom }) => named(valueFrom?.secretKeyRef?.name, valueFrom?.configMapKeyRef?.name)),
    ...envFrom.map(({ secretRef, configMapRef }) => named(secretRef?.name, configMapRef?.name)),
  ];
}

function volumeReferences({ secret, configMap, projected }: Volume): ObjectNames {
  const sources = (projected?.sources ?? []) as { secret?: { name: string }; configMap?: { name: string } }[];
  const all = [
    named(secret?.secretName, configMap?.name),
    ...sources.map((source) => named(source.secret?.name, source.configMap?.name)),
  ];
  return { secrets: all.flatMap(({ secrets }) => secrets), configMaps: all.flatMap(({ configMaps }) => configMaps) };
}

const named = (secret: string | undefined, configMap: string | undefined): ObjectNames => ({
  secrets: secret === undefined ? [] : [secret],
  configMaps: configMap === undefined ? [] : [configMap],
});

/** As they are now. Missing ones are undefined; any other failure rejects. */
export async function readReferences(
  client: Pick<KubeClient, 'get'>,
  pod: Pod,
  signal: AbortSignal,
): Promise<References> {
  const namespace = pod.metadata.namespace ?? 'default';
  const { secrets, configMaps } = referencesOf(pod);
  const read = async <T extends KubeObject>(kind: KindOf<T>, names: string[]): Promise<Map<string, T>> => {
    const found = await Promise.all(
      names.map((name) =>
        client.get<T>(kind, { namespace, name }, { signal }).catch((error: unknown) => {
          if (isNotFound(error)) return undefined;
          throw error;
        }),
      ),
    );
    return new Map(found.filter((object) => object !== undefined).map((object) => [object.metadata.name, object]));
  };
  const [secretMap, configMapMap] = await Promise.all([read(SECRET, secrets), read(CONFIG_MAP, configMaps)]);
  return { secret: (name) => secretMap.get(name), configMap: (name) => configMapMap.get(name) };
}
