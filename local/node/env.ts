/** The environment of a container, from its declaration. Pure: Secrets and ConfigMaps are read before. */
import type { ConfigMap, Container, EnvVar, Secret } from '../../kube/kinds.js';
import { fieldValue, resourceValue, type PodFacts } from './fields.js';

/** A container that cannot be made as declared; the kubelet's reason for it is CreateContainerConfigError. */
export class ContainerConfigError extends Error {
  override readonly name = 'ContainerConfigError';
}

/** The objects that a pod refers to, by name; undefined: there is none. */
export interface References {
  secret(name: string): Secret | undefined;
  configMap(name: string): ConfigMap | undefined;
}

/**
 * Variables of `env` and `envFrom`, later ones over earlier ones, `$(NAME)` replaced by what came before.
 * @throws ContainerConfigError when a reference that is not optional leads nowhere
 */
export function resolveEnv(container: Container, facts: PodFacts, references: References): Record<string, string> {
  const env: Record<string, string> = {};
  for (const source of container.envFrom ?? []) {
    const { prefix = '', secretRef, configMapRef } = source;
    const data = secretRef === undefined ? configMapData(references, configMapRef) : secretData(references, secretRef);
    for (const [key, value] of Object.entries(data)) env[prefix + key] = value;
  }
  for (const variable of container.env ?? []) {
    const value = valueOf(variable, { container, facts, references, before: env });
    if (value !== undefined) env[variable.name] = value;
  }
  return env;
}

interface Context {
  container: Container;
  facts: PodFacts;
  references: References;
  before: Record<string, string>;
}

function valueOf({ value, valueFrom }: EnvVar, { container, facts, references, before }: Context): string | undefined {
  if (valueFrom === undefined) return expand(value ?? '', before);
  const { secretKeyRef, configMapKeyRef, fieldRef, resourceFieldRef } = valueFrom;
  if (secretKeyRef !== undefined) {
    const data = secretData(references, secretKeyRef);
    return keyOf(data, secretKeyRef, `Secret ${facts.pod.metadata.namespace ?? 'default'}/${secretKeyRef.name}`);
  }
  if (configMapKeyRef !== undefined) {
    const data = configMapData(references, configMapKeyRef);
    return keyOf(
      data,
      configMapKeyRef,
      `ConfigMap ${facts.pod.metadata.namespace ?? 'default'}/${configMapKeyRef.name}`,
    );
  }
  if (fieldRef !== undefined) {
    const field = fieldValue(fieldRef.fieldPath, facts);
    if (field === undefined) throw new ContainerConfigError(`unsupported fieldPath: ${fieldRef.fieldPath}`);
    return field;
  }
  return resourceFieldRef === undefined ? '' : resourceValue(resourceFieldRef, container);
}

function keyOf(data: Record<string, string>, ref: { key: string; optional?: boolean }, where: string) {
  const value = data[ref.key];
  if (value === undefined && ref.optional !== true)
    throw new ContainerConfigError(`couldn't find key ${ref.key} in ${where}`);
  return value;
}

function secretData(references: References, ref: { name: string; optional?: boolean }): Record<string, string> {
  const secret = references.secret(ref.name);
  if (secret === undefined && ref.optional !== true) throw new ContainerConfigError(`secret "${ref.name}" not found`);
  return Object.fromEntries(
    Object.entries(secret?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]),
  );
}

function configMapData(
  references: References,
  ref: { name: string; optional?: boolean } | undefined,
): Record<string, string> {
  if (ref === undefined) return {};
  const map = references.configMap(ref.name);
  if (map === undefined && ref.optional !== true) throw new ContainerConfigError(`configmap "${ref.name}" not found`);
  return map?.data ?? {};
}

/** `$(NAME)` becomes the variable's value, `$$` a dollar; a name that is not set stays as written. */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$(\$|\(([^)]*)\))/g, (whole, what: string, name: string | undefined) =>
    what === '$' ? '$' : name !== undefined && Object.hasOwn(env, name) ? (env[name] ?? '') : whole,
  );
}
