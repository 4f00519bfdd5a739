/** The one command line: `sandlot PROGRAM`. Programs are loaded only when asked for, since each takes time to load. */
import { statSync } from 'node:fs';
import { version } from '../process/root.js';

/** What every program's `main.ts` exports. */
interface ProgramModule {
  usage: string;
  main(env: NodeJS.ProcessEnv, argv: string[]): Promise<void>;
}

interface Entry {
  summary: string;
  load(): Promise<ProgramModule>;
}

/** The bundle of a program loads in half the time; one that is older than what was compiled last does not count. Images have only bundles. */
const load = (folder: string) => async (): Promise<ProgramModule> => {
  const plain = new URL(`../${folder}/main.js`, import.meta.url);
  const bundled = new URL(`../bundle/${folder}/main.js`, import.meta.url);
  const fresh = modified(bundled) > modified(plain);
  // From source (tsx) only the second exists, under another extension that the loader finds.
  return (await import(fresh ? bundled.href : `../${folder}/main.js`)) as ProgramModule;
};

const modified = (file: URL): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? -1;

const PROGRAMS: Record<string, Entry> = {
  up: { summary: 'everything on this machine: what `npm start` runs', load: load('local/up') },
  operator: { summary: 'keeps sandboxes and pools as declared', load: load('operator') },
  gateway: { summary: 'carries traffic to sandboxes', load: load('gateway') },
  apiserver: { summary: 'REST API and web UI', load: load('apiserver') },
  data: { summary: 'looks after the database: new keys, checks', load: load('apiserver/data') },
  'agent-server': { summary: 'runs inside a sandbox pod', load: load('sandbox') },
};

const HELP = `Sandlot ${version()}: AI software agents on Kubernetes, one sandbox pod per conversation.

usage: sandlot PROGRAM [OPTIONS]

${Object.entries(PROGRAMS)
  .map(([name, { summary }]) => `  ${name.padEnd(14)}${summary}`)
  .join('\n')}

  sandlot PROGRAM --help   what the program reads: options and environment variables
  sandlot --version        the version
`;

/** Runs the command line. Answers an exit code, or undefined when a program took over the process. */
export async function run(argv: string[], env: NodeJS.ProcessEnv): Promise<number | undefined> {
  const [name, ...rest] = argv;
  if (name === '--version' || name === '-v' || name === 'version') return say(`sandlot ${version()}\n`);
  if (name === '--help' || name === '-h' || name === 'help') return say(HELP);
  const program = name === undefined || !Object.hasOwn(PROGRAMS, name) ? undefined : PROGRAMS[name];
  if (program === undefined) {
    process.stderr.write(`${name === undefined ? 'No program named.' : `Unknown program "${name}".`}\n\n${HELP}`);
    return 2;
  }
  if (rest.includes('--version')) return say(`sandlot ${name} ${version()}\n`);
  const { usage, main } = await program.load();
  if (rest.includes('--help') || rest.includes('-h')) return say(usage.endsWith('\n') ? usage : `${usage}\n`);
  await main(env, rest);
  return undefined;
}

function say(text: string): number {
  process.stdout.write(text);
  return 0;
}

const code = await run(process.argv.slice(2), process.env);
if (code !== undefined) process.exitCode = code;
