/** Where Chromium, or a browser of its kind, lies. Nothing is ever downloaded. */
import { accessSync, constants, readdirSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/usr/bin/microsoft-edge',
  '/usr/bin/microsoft-edge-stable',
];
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'chrome', 'microsoft-edge'];

const NO_CHROMIUM =
  'there is no Chromium on this machine. Install one (Debian: apt-get install chromium), or name its program in the variable CHROMIUM, and start a new conversation';

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Playwright's own browsers, where somebody installed them. */
function ofPlaywright(home: string | undefined): string[] {
  if (home === undefined) return [];
  const cache = join(home, '.cache', 'ms-playwright');
  try {
    return readdirSync(cache)
      .filter((name) => /^chromium-\d+$/.test(name))
      .flatMap((name) => ['chrome-linux64', 'chrome-linux'].map((folder) => join(cache, name, folder, 'chrome')));
  } catch {
    return [];
  }
}

/** `OH_ENABLE_BROWSER=false`: no browser, whatever the machine has. */
const isSwitchedOff = (env: Readonly<Record<string, string | undefined>>): boolean =>
  /^(false|0|no|off)$/i.test(env['OH_ENABLE_BROWSER']?.trim() ?? '');

/** Why there is no browser, in words for the model. */
export const noChromium = (env: Readonly<Record<string, string | undefined>>): string =>
  isSwitchedOff(env) ? 'browsers are switched off for this sandbox (OH_ENABLE_BROWSER)' : NO_CHROMIUM;

/** The program of `CHROMIUM` if set (and only that), else the first of the known places, of Playwright's, of the PATH. */
export function findChromium(env: Readonly<Record<string, string | undefined>>): string | undefined {
  if (isSwitchedOff(env)) return undefined;
  const named = env['CHROMIUM'];
  if (named !== undefined && named !== '') return isAbsolute(named) && isProgram(named) ? named : undefined;
  const onPath = (env['PATH'] ?? '')
    .split(delimiter)
    .filter(isAbsolute)
    .flatMap((folder) => NAMES.map((name) => join(folder, name)));
  return [...PLACES, ...ofPlaywright(env['HOME']), ...onPath].find(isProgram);
}
