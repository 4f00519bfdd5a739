// Generated from crds/ by scripts/generate-types.ts; do not edit.

/**
 * What the sandbox should be.
 */
export interface SandboxSpec {
  /**
   * Name of the SandboxTemplate in the same namespace that gives the pod its shape. Without it the installation's built-in shape is used.
   */
  template?: string;
  /**
   * Container image of the agent server. Overrides the template's; a sandbox with an own image is always started cold.
   */
  image?: string;
  /**
   * Entry point of the container instead of the image's own.
   */
  command?: string[];
  /**
   * Arguments of the entry point.
   */
  args?: string[];
  /**
   * Environment variables of the container, as in a Pod. A sandbox with own variables is started cold.
   */
  env?: {
    /**
     * Name of the variable.
     */
    name: string;
    /**
     * Its value as plain text. Keep secrets in a Secret and use valueFrom.
     */
    value?: string;
    /**
     * Where the value comes from, as in a Pod (secretKeyRef, configMapKeyRef, fieldRef, resourceFieldRef).
     */
    valueFrom?: {
      [k: string]: unknown;
    };
  }[];
  /**
   * Secrets and ConfigMaps whose keys become environment variables, as in a Pod.
   */
  envFrom?: {
    [k: string]: unknown;
  }[];
  /**
   * CPU, memory and ephemeral storage that the container requests and may use at most, as in a Pod.
   */
  resources?: {
    /**
     * What the scheduler reserves.
     */
    requests?: {
      [k: string]: number | string;
    };
    /**
     * What the container may use at most.
     */
    limits?: {
      [k: string]: number | string;
    };
  };
  /**
   * Multiplies the template's CPU and memory (requests and limits). A factor above 1 is always started cold.
   */
  resourceFactor?: 1 | 2 | 4 | 8;
  /**
   * Working directory of the entry point. A sandbox with an own one is started cold.
   */
  workingDir?: string;
  /**
   * When the kubelet pulls the image. A sandbox with an own policy is started cold.
   */
  imagePullPolicy?: 'Always' | 'IfNotPresent' | 'Never';
  /**
   * RuntimeClass of the pod, for example gvisor or kata. It must exist in the cluster. Warm pods come from pools that have it.
   */
  runtimeClassName?: string;
  /**
   * Numeric user that the container runs as; never root.
   */
  runAsUser?: number;
  /**
   * Numeric primary group of the container.
   */
  runAsGroup?: number;
  /**
   * Numeric group that owns the workspace volume.
   */
  fsGroup?: number;
  /**
   * The user that this sandbox belongs to, as the API server knows them. The gateway lets only the owner in, and the limit per owner counts by it. It cannot be changed once it is set.
   */
  owner?: string;
  /**
   * Running keeps one pod alive. Paused ends the pod and keeps the workspace; setting Running again resumes on the same files with a new session key.
   */
  runState?: 'Running' | 'Paused';
  /**
   * Where the agent's files live. Cannot be changed after creation.
   */
  workspace?: {
    /**
     * Ephemeral lives and dies with the pod (files are lost at pause). Claim is a PersistentVolumeClaim that is kept over pause, resume and the loss of the pod.
     */
    kind?: 'Ephemeral' | 'Claim';
    /**
     * Requested size of the claim, for example 10Gi.
     */
    size?: number | string;
    /**
     * StorageClass of the claim; the cluster's default when not given.
     */
    storageClassName?: string;
    /**
     * What happens to the claim when the Sandbox is deleted.
     */
    retention?: 'Delete' | 'Retain';
  };
  /**
   * Further named ports of the pod, beside agent, vscode, worker-1 and worker-2.
   */
  ports?: {
    /**
     * Name used in addresses.
     */
    name: string;
    /**
     * Port number in the pod.
     */
    port: number;
    /**
     * Private lets the owner in, whatever a share says; Shared also the holders of share links that name the port or no port; Public everyone.
     */
    visibility?: 'Private' | 'Shared' | 'Public';
  }[];
  /**
   * Who else may reach ports of this sandbox for a while. Each entry is one share link that the API server signed; removing the entry revokes the link, and what was opened with it is closed within seconds.
   */
  shares?: {
    /**
     * Name of the share, unique in this sandbox.
     */
    id: string;
    /**
     * Names or numbers of the ports that it opens; without them all whose visibility is Shared. The agent's and the editor's ports are never opened, nor such as spec.ports lists as Private.
     */
    ports?: (number | string)[];
    /**
     * When the share ends by itself.
     */
    expiresAt: string;
  }[];
  /**
   * Logins of the owner that are over. Gateways refuse what was let in by one of them, and close what it opened, within seconds. The API server writes it when a session ends, and forgets entries after twelve hours.
   */
  endedSessions?: {
    /**
     * Mark of the session; `all` for every session that began before.
     */
    id: string;
    /**
     * When it ended.
     */
    at: string;
  }[];
  /**
   * When the operator pauses and deletes the sandbox by itself. Durations are written like 90s, 20m, 12h or 30d; 0s switches a rule off.
   */
  lifecycle?: {
    /**
     * Pause after this long without activity.
     */
    idleTimeout?: string;
    /**
     * Delete this long after creation, whatever it does.
     */
    maxLifetime?: string;
    /**
     * Delete after being paused for this long.
     */
    deleteAfterPaused?: string;
    /**
     * Whether an authorised request through the gateway resumes a paused sandbox.
     */
    wakeOnRequest?: boolean;
  };
  /**
   * What the pod may reach.
   */
  network?: {
    /**
     * Internet allows cluster DNS and public addresses (not cluster ranges, not cloud metadata). None allows nothing but replies.
     */
    egress?: 'Internet' | 'None';
  };
  /**
   * What to do when a pool could serve this sandbox but has no ready pod: Cold starts a new pod, Wait waits for the pool, Fail gives up with a reason.
   */
  onDryPool?: 'Cold' | 'Wait' | 'Fail';
}

/**
 * What the sandbox is. Written by the operator only.
 */
export interface SandboxStatus {
  /**
   * The metadata.generation that this status speaks of.
   */
  observedGeneration?: number;
  /**
   * One word derived from the conditions.
   */
  phase?: 'Pending' | 'Starting' | 'Running' | 'Pausing' | 'Paused' | 'Failed' | 'Terminating';
  /**
   * Standard conditions: Ready, PodScheduled, PodReady, AgentReady, WorkspaceReady, Paused.
   */
  conditions?: {
    /**
     * Name of the condition.
     */
    type: string;
    /**
     * Whether it holds.
     */
    status: 'True' | 'False' | 'Unknown';
    /**
     * One word for programs.
     */
    reason: string;
    /**
     * A sentence for people.
     */
    message: string;
    /**
     * When status last changed.
     */
    lastTransitionTime: string;
    /**
     * The generation it speaks of.
     */
    observedGeneration?: number;
  }[];
  /**
   * Stable name of the pod, from which addresses and keys derive.
   */
  slot?: string;
  /**
   * Number of the current session key; rises at every claim and resume.
   */
  keyEpoch?: number;
  /**
   * Address of the pod; empty while there is none.
   */
  podIP?: string;
  /**
   * Node of the pod.
   */
  nodeName?: string;
  /**
   * The numbers behind the named ports of the current pod.
   */
  ports?: {
    /**
     * Name of the port.
     */
    name: string;
    /**
     * Its number in the pod.
     */
    port: number;
  }[];
  /**
   * The pool whose warm pod it took over.
   */
  pool?: string;
  /**
   * When the current pod became this sandbox's own.
   */
  claimedAt?: string;
  /**
   * When the agent became ready for the first time since the last start or resume.
   */
  startedAt?: string;
  /**
   * When the sandbox was last paused.
   */
  pausedAt?: string;
  /**
   * Last sign of use (gateway traffic, the agent's own idle time), in coarse steps.
   */
  lastActivityTime?: string;
  /**
   * How often the operator or the kubelet had to start the pod again since the last resume.
   */
  restartCount?: number;
  /**
   * Identity of the current pod; empty while there is none.
   */
  podUID?: string;
  /**
   * When the operator will replace the lost pod, at the earliest.
   */
  nextRestartTime?: string;
  /**
   * Losses of the pod in a row, without ten minutes of health between them. Above the crash budget the sandbox becomes Failed.
   */
  consecutiveFailures?: number;
}

/**
 * The shape. A change applies to pods made afterwards; running sandboxes keep theirs.
 */
export interface SandboxTemplateSpec {
  /**
   * Container image of the agent server.
   */
  image: string;
  /**
   * Entry point of the container instead of the image's own.
   */
  command?: string[];
  /**
   * Arguments of the entry point.
   */
  args?: string[];
  /**
   * Environment variables of the container, as in a Pod.
   */
  env?: {
    /**
     * Name of the variable.
     */
    name: string;
    /**
     * Its value as plain text. Keep secrets in a Secret and use valueFrom.
     */
    value?: string;
    /**
     * Where the value comes from, as in a Pod (secretKeyRef, configMapKeyRef, fieldRef, resourceFieldRef).
     */
    valueFrom?: {
      [k: string]: unknown;
    };
  }[];
  /**
   * Secrets and ConfigMaps whose keys become environment variables, as in a Pod.
   */
  envFrom?: {
    [k: string]: unknown;
  }[];
  /**
   * CPU, memory and ephemeral storage that the container requests and may use at most, as in a Pod.
   */
  resources?: {
    /**
     * What the scheduler reserves.
     */
    requests?: {
      [k: string]: number | string;
    };
    /**
     * What the container may use at most.
     */
    limits?: {
      [k: string]: number | string;
    };
  };
  /**
   * RuntimeClass of the pod, for example gvisor or kata. It must exist in the cluster.
   */
  runtimeClassName?: string;
  /**
   * Numeric user that the container runs as; never root.
   */
  runAsUser?: number;
  /**
   * Numeric primary group of the container.
   */
  runAsGroup?: number;
  /**
   * Numeric group that owns the workspace volume.
   */
  fsGroup?: number;
  /**
   * Where the agent's files live, for sandboxes that do not say it themselves.
   */
  workspace?: {
    /**
     * Ephemeral lives and dies with the pod (files are lost at pause). Claim is a PersistentVolumeClaim that is kept over pause, resume and the loss of the pod.
     */
    kind?: 'Ephemeral' | 'Claim';
    /**
     * Requested size of the claim, for example 10Gi.
     */
    size?: number | string;
    /**
     * StorageClass of the claim; the cluster's default when not given.
     */
    storageClassName?: string;
    /**
     * What happens to the claim when the Sandbox is deleted.
     */
    retention?: 'Delete' | 'Retain';
  };
  /**
   * Further named ports of the pod, beside agent, vscode, worker-1 and worker-2.
   */
  ports?: {
    /**
     * Name used in addresses.
     */
    name: string;
    /**
     * Port number in the pod.
     */
    port: number;
    /**
     * Private lets the owner in, Shared also holders of a share link, Public everyone.
     */
    visibility?: 'Private' | 'Shared' | 'Public';
  }[];
  /**
   * When the operator pauses and deletes the sandbox by itself. Durations are written like 90s, 20m, 12h or 30d; 0s switches a rule off.
   */
  lifecycle?: {
    /**
     * Pause after this long without activity.
     */
    idleTimeout?: string;
    /**
     * Delete this long after creation, whatever it does.
     */
    maxLifetime?: string;
    /**
     * Delete after being paused for this long.
     */
    deleteAfterPaused?: string;
    /**
     * Whether an authorised request through the gateway resumes a paused sandbox.
     */
    wakeOnRequest?: boolean;
  };
  /**
   * What the pod may reach.
   */
  network?: {
    /**
     * Internet allows cluster DNS and public addresses (not cluster ranges, not cloud metadata). None allows nothing but replies.
     */
    egress?: 'Internet' | 'None';
  };
  /**
   * When the kubelet pulls the image.
   */
  imagePullPolicy?: 'Always' | 'IfNotPresent' | 'Never';
  /**
   * Secrets with registry credentials.
   */
  imagePullSecrets?: {
    /**
     * Name of the Secret.
     */
    name: string;
  }[];
  /**
   * Working directory of the entry point.
   */
  workingDir?: string;
  /**
   * Labels that a node must have.
   */
  nodeSelector?: {
    [k: string]: string;
  };
  /**
   * Taints that the pod tolerates, as in a Pod.
   */
  tolerations?: {
    [k: string]: unknown;
  }[];
  /**
   * Scheduling preferences, as in a Pod.
   */
  affinity?: {
    [k: string]: unknown;
  };
  /**
   * PriorityClass of the pod.
   */
  priorityClassName?: string;
  /**
   * How long the agent server may take to checkpoint and exit.
   */
  terminationGracePeriodSeconds?: number;
  /**
   * Whether the image's agent server can be started dormant and personalised by POST /api/init. Pools need it.
   */
  deferredInit?: boolean;
  /**
   * Further labels of the pods. Labels of sandlot.dev and app.kubernetes.io are the operator's.
   */
  podLabels?: {
    [k: string]: string;
  };
  /**
   * Further annotations of the pods.
   */
  podAnnotations?: {
    [k: string]: string;
  };
}

/**
 * Written by the operator only.
 */
export interface SandboxTemplateStatus {
  /**
   * The metadata.generation that this status speaks of.
   */
  observedGeneration?: number;
  /**
   * Standard conditions: Ready (the API server takes pods and workspace claims of this template, as a dry run shows; else Invalid, Forbidden or QuotaExceeded, in its words).
   */
  conditions?: {
    /**
     * Name of the condition.
     */
    type: string;
    /**
     * Whether it holds.
     */
    status: 'True' | 'False' | 'Unknown';
    /**
     * One word for programs.
     */
    reason: string;
    /**
     * A sentence for people.
     */
    message: string;
    /**
     * When status last changed.
     */
    lastTransitionTime: string;
    /**
     * The generation it speaks of.
     */
    observedGeneration?: number;
  }[];
}

/**
 * What the pool should be.
 */
export interface SandboxPoolSpec {
  /**
   * Name of the SandboxTemplate in the same namespace.
   */
  template: string;
  /**
   * Warm, unclaimed pods to keep; with scaleToDemand the fewest. `/scale` (HPA, KEDA, kubectl scale) sets it.
   */
  replicas?: number;
  /**
   * Hard cap on warm pods, whoever asks for them.
   */
  maxReplicas?: number;
  /**
   * Keeps between replicas and maxReplicas warm, by itself. The pool keeps as many pods as sandboxes asked for within one start-up time, at the busiest; status.demand has the figures, and the condition Progressing says what follows from them.
   */
  scaleToDemand?: {
    /**
     * After this long without as many again, the busiest time counts half.
     */
    halfLife?: string;
  };
  /**
   * Labels that a node must have, instead of the template's. Pods that a sandbox gets later follow the template.
   */
  nodeSelector?: {
    [k: string]: string;
  };
  /**
   * Taints that the pods tolerate, as in a Pod, instead of the template's.
   */
  tolerations?: {
    [k: string]: unknown;
  }[];
  /**
   * Scheduling preferences, as in a Pod, instead of the template's.
   */
  affinity?: {
    [k: string]: unknown;
  };
  /**
   * RuntimeClass of the pods, instead of the template's. Such a pool serves the sandboxes that name this class; those that name none are served by pools of the template's.
   */
  runtimeClassName?: string;
  /**
   * How warm pods of an older template are replaced. Until then, those that have the ports, rights and workspace of the new one may still be claimed when no new one is ready. Claimed pods are left alone.
   */
  rollout?: {
    /**
     * Pods above replicas meanwhile, as a number or a share of replicas (default 25%, rounded up); never above maxReplicas.
     */
    maxSurge?: number | string;
    /**
     * Ready pods that may be missing meanwhile, as a number or a share of replicas (default 25%, rounded down); 100% replaces all at once.
     */
    maxUnavailable?: number | string;
  };
  /**
   * How fast the pool may create pods, so that refilling never crowds out sandboxes that people wait for.
   */
  refill?: {
    /**
     * Pods created per second in the long run.
     */
    perSecond?: number;
    /**
     * Pods created at once at most.
     */
    burst?: number;
  };
}

/**
 * What the pool is. Written by the operator only.
 */
export interface SandboxPoolStatus {
  /**
   * The metadata.generation that this status speaks of.
   */
  observedGeneration?: number;
  /**
   * Warm pods that exist, ready or not.
   */
  replicas?: number;
  /**
   * Warm pods that can be claimed now.
   */
  readyReplicas?: number;
  /**
   * Warm pods that the pool wants now, between replicas and maxReplicas.
   */
  wantedReplicas?: number;
  /**
   * With scaleToDemand, the busiest start-up time that still counts.
   */
  demand?: {
    /**
     * Sandboxes that asked for a pod within it.
     */
    claims?: number;
    /**
     * When the last of them asked.
     */
    time?: string;
    /**
     * How long a warm pod took from creation to ready.
     */
    startSeconds?: number;
  };
  /**
   * Label selector of the warm pods, for the scale subresource.
   */
  selector?: string;
  /**
   * Standard conditions: Ready (the wanted number of warm pods is ready; if not, what keeps one of them, and what to do), TemplateFound, Progressing (False when none of the missing pods just starts), ScalingLimited (maxReplicas or a quota keeps the pool smaller than it should be), ClaimsLimited (sandboxes of the template wait because of a limit per owner or namespace).
   */
  conditions?: {
    /**
     * Name of the condition.
     */
    type: string;
    /**
     * Whether it holds.
     */
    status: 'True' | 'False' | 'Unknown';
    /**
     * One word for programs.
     */
    reason: string;
    /**
     * A sentence for people.
     */
    message: string;
    /**
     * When status last changed.
     */
    lastTransitionTime: string;
    /**
     * The generation it speaks of.
     */
    observedGeneration?: number;
  }[];
}
