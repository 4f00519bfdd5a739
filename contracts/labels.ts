/** Labels, annotations and fixed names that the operator writes and the others read. */

export const LABEL = {
  /** Name of the Sandbox that a pod, claim or Secret belongs to; absent on warm pods. */
  sandbox: 'sandlot.dev/sandbox',
  /** Stable name of a pod from its birth, warm or not. */
  slot: 'sandlot.dev/slot',
  pool: 'sandlot.dev/pool',
  template: 'sandlot.dev/template',
  /** `warm` or `claimed`: which pods a pool may still give away. */
  state: 'sandlot.dev/state',
  /** On a Sandbox: the conversation (32 hex digits) that it was made for. */
  conversation: 'sandlot.dev/conversation',
  /** On a Sandbox, its pod and its other children: a label-safe hash of `spec.owner`, so that one owner's can be listed. */
  owner: 'sandlot.dev/owner',
  /** On a pod: what it may reach (`Internet`, `None`); the shared network policies select by it. */
  egress: 'sandlot.dev/egress',
  /** On sandboxes, pools and their children: which of several operators they belong to; none: the first. */
  shard: 'sandlot.dev/shard',
  /** On a pod: the number of the shared Service that selects it. */
  service: 'sandlot.dev/service',
  name: 'app.kubernetes.io/name',
  managedBy: 'app.kubernetes.io/managed-by',
} as const;

export const ANNOTATION = {
  /** On a pod: the number of the session key that it was started or initialised with. */
  keyEpoch: 'sandlot.dev/key-epoch',
  /** On a pod: how many pods of this sandbox were lost since the last resume, before this one. */
  restarts: 'sandlot.dev/restarts',
  /** On a warm pod: hash of the template it was made from, so that a pool can tell stale pods. */
  templateHash: 'sandlot.dev/template-hash',
  /** On a warm pod: hash of what a claim must find as the template has it now, while a newer template rolls out. */
  templateFit: 'sandlot.dev/template-fit',
  /** On a pod that was born warm: the Secret that holds its init key, with those of others, under its slot. */
  initKeys: 'sandlot.dev/init-keys',
  /** On a Sandbox, written by the gateway in steps of a minute: last traffic (RFC 3339). */
  lastTraffic: 'sandlot.dev/last-traffic',
  /** On a Sandbox made through the Runtime API: its caller's own name for it. */
  sessionId: 'sandlot.dev/session-id',
} as const;

/** `app.kubernetes.io/name` of every sandbox pod; what the shared Services carry, and their EndpointSlices after them. */
export const SANDBOX_APP = 'sandlot-sandbox';
export const MANAGER = 'sandlot-operator';
/** How the names of the headless Services begin through which sandbox pods get DNS names and EndpointSlices. */
export const SHARED_SERVICE = 'sandlot-sandboxes';
/**
 * Services of a namespace at most. Whenever a pod changes, the cluster computes its Service's endpoints anew from all the
 * Service's pods: with one for 1,000 pods that took 0.15 s of CPU a change, so they are spread over many.
 */
export const SHARED_SERVICES = 64;
export const STATE_WARM = 'warm';
export const STATE_CLAIMED = 'claimed';
