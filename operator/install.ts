/** What the installation says once for all sandboxes; config.ts reads it from the environment. */
export interface Installation {
  /** The installation's secret, from which all keys derive. */
  secret: string;
  /** Image of sandboxes without template. */
  sandboxImage: string;
  /** Base that agent servers post their webhooks to (`{apiUrl}/api/v1/webhooks`); without it none are configured. */
  apiUrl?: string | undefined;
  /** Origins of browsers that may call agent servers. */
  uiOrigins: readonly string[];
}
