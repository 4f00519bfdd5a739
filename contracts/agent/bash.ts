/** Commands of the bash routes and socket. Ids are 32 hex digits; times are UTC with `Z`. */
export interface BashCommand {
  kind: 'BashCommand';
  id: string;
  timestamp: string;
  command: string;
  cwd: string | null;
  /** Seconds. */
  timeout: number;
}
export interface BashOutput {
  kind: 'BashOutput';
  id: string;
  timestamp: string;
  command_id: string;
  /** 0, 1, … within the command. */
  order: number;
  /** Null while the command runs; -1 timed out or not started; minus the signal when stopped. */
  exit_code: number | null;
  stdout: string | null;
  stderr: string | null;
}
/** Sockets only. */
export interface BashError {
  kind: 'BashError';
  id: string;
  timestamp: string;
  code: string;
  detail: string;
}
export type BashEvent = BashCommand | BashOutput;
