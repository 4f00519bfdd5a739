/** Sandlot's own routes of the agent server: the App and Code tabs use them. */

/** `GET /api/apps`: a TCP port that a process of the sandbox listens on. */
export interface ListeningApp {
  port: number;
  /** Address it is bound to; `0.0.0.0` or `::` means every one. */
  address: string;
  pid: number | null;
  /** Name of its program. */
  process: string | null;
  /** Title of the page at `/`; null when it is no web page. */
  title: string | null;
}

/** `GET` and `POST /api/vscode/install`. */
export interface VscodeInstall {
  state: 'absent' | 'installing' | 'installed' | 'failed';
  /** What it does now, or why it failed. */
  message: string;
  /** 0 to 100. */
  percent: number;
}
