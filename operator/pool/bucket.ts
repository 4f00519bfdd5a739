/** Token bucket: how many pods a pool may create now. */
export interface Bucket {
  tokens: number;
  /** Ms since 1970 at which `tokens` was true. */
  at: number;
}

export interface Rate {
  perSecond: number;
  burst: number;
}

/** The bucket as it is at `now`; a new one is full. */
export function filled(bucket: Bucket | undefined, rate: Rate, now: number): Bucket {
  if (bucket === undefined) return { tokens: rate.burst, at: now };
  const seconds = Math.max(0, now - bucket.at) / 1_000;
  return { tokens: Math.min(rate.burst, bucket.tokens + seconds * rate.perSecond), at: now };
}

/** Ms until one more token is there. */
export function untilToken({ tokens }: Bucket, rate: Rate): number {
  return tokens >= 1 ? 0 : Math.ceil(((1 - tokens) / rate.perSecond) * 1_000);
}
