import { isAlreadyExists, isInvalid, KubeError } from '../../kube/errors.js';
import type { Refusal } from './situation.js';

const MESSAGE_LIMIT = 500;

/** Why the API server will not take a child as it is; undefined for errors that trying again may heal. */
export function refusalOf(child: Refusal['child'], error: unknown): Omit<Refusal, 'retryAt'> | undefined {
  if (!(error instanceof KubeError)) return undefined;
  const message = error.message.slice(0, MESSAGE_LIMIT);
  if (error.code === 403)
    return {
      child,
      reason: /exceeded quota|LimitRange|limitrange|maximum .* usage/.test(message) ? 'QuotaExceeded' : 'Forbidden',
      message,
    };
  if (isAlreadyExists(error)) return { child, reason: 'NameTaken', message };
  return isInvalid(error) ? { child, reason: 'Invalid', message } : undefined;
}
