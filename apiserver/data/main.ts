/** What an operator does with the database by hand: `sandlot data COMMAND`. Prints a report; exit code 1 when something is left to do. */
import { createClient, loadKubeConfig } from '../../kube/client.js';
import { systemClock } from '../../process/clock.js';
import { ConfigError } from '../../process/config.js';
import { createLog } from '../../process/log.js';
import { createAgentHttp } from '../agent/http.js';
import { readApiConfig, type ApiConfig } from '../config.js';
import { createBox } from '../db/box.js';
import { FolderInUseError } from '../db/lock.js';
import { MigrationError } from '../db/migrate.js';
import { openDatabase, type Database } from '../db/open.js';
import { compareAgents } from './agents.js';
import { checkDatabase, repairDatabase } from './check.js';
import { resealAll } from './reseal.js';

export const usage = `sandlot data: looks after the API server's database

  sandlot data reseal            seals every stored secret with the newest key (the first of SANDLOT_DATA_KEYS, else
                                 SANDLOT_SECRET), so that older ones can be taken away; API servers may run meanwhile
  sandlot data check             whether the database agrees with itself; reads only
  sandlot data check --repair    counts anew and deletes what belongs to nothing
  sandlot data check --agents    whether it also agrees with the logs of the agent servers that run; what it lacks is read
                                 from them by the API servers when it is said with --repair

It reads the API server's environment (see \`sandlot apiserver --help\`). An embedded database is one process's: stop the API
server first. Exit codes: 0 all is well, 1 something is left to do, 2 wrong call or configuration.`;

export async function main(env: NodeJS.ProcessEnv, argv: string[]): Promise<void> {
  try {
    process.exitCode = await run(env, argv);
  } catch (error) {
    const known = error instanceof ConfigError || error instanceof FolderInUseError || error instanceof MigrationError;
    process.stderr.write(`sandlot data: ${known ? error.message : String(error)}\n`);
    process.exitCode = known ? 2 : 1;
  }
}

async function run(env: NodeJS.ProcessEnv, [command = '', ...options]: string[]): Promise<number> {
  const known = command === 'check' ? ['--repair', '--agents'] : [];
  if (!['reseal', 'check'].includes(command) || options.some((option) => !known.includes(option))) {
    process.stderr.write(`${usage}\n`);
    return 2;
  }
  const config = readApiConfig(env);
  const log = createLog({ name: 'data', level: 'warn' });
  const db = await openDatabase({ url: config.databaseUrl, log, maxConnections: 2, statementMs: 0 });
  try {
    if (command === 'reseal') return await reseal(db, config);
    const repair = options.includes('--repair');
    const left = await check(db, repair);
    const differ = options.includes('--agents') ? await agents(db, { config, env, repair }) : 0;
    return left + differ > 0 ? 1 : 0;
  } finally {
    await db.close();
  }
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function reseal({ query }: Database, { dataKeys }: ApiConfig): Promise<number> {
  const results = await resealAll(query, createBox(dataKeys));
  for (const { table, resealed, unreadable, left } of results)
    say(`${table}: ${resealed} sealed anew, ${left} left under older keys, ${unreadable} of them unreadable`);
  const left = results.reduce((sum, one) => sum + one.left, 0);
  say(left === 0 ? 'Everything is sealed with the newest key.' : `${left} values still need older keys.`);
  return left === 0 ? 0 : 1;
}

async function check({ query }: Database, repair: boolean): Promise<number> {
  const { conversations, problems, more } = await checkDatabase(query);
  for (const { id, words } of problems) say(`${id}: ${words}`);
  const left = repair ? await repairDatabase(query, problems) : problems;
  say(`${conversations} conversations, ${problems.length}${more ? ' or more' : ''} problems, ${left.length} left`);
  return more ? left.length + 1 : left.length;
}

interface Around {
  config: ApiConfig;
  env: NodeJS.ProcessEnv;
  repair: boolean;
}

async function agents({ query }: Database, { config, env, repair }: Around): Promise<number> {
  const client = createClient(loadKubeConfig(env), { userAgent: 'sandlot-data' });
  const http = createAgentHttp();
  try {
    const [secret] = config.secrets;
    const options = { client, namespace: config.namespace, secret, agents: http, query, sleep: systemClock.sleep };
    const { compared, skipped, differences } = await compareAgents(options);
    for (const { id, missing, strange, ordered } of differences)
      say(`${id}: ${missing} events missing, ${strange} unknown to its agent${ordered ? '' : ', order differs'}`);
    say(`${compared} agents' logs compared, ${skipped} not to be had, ${differences.length} differ`);
    // API servers read an agent's log from here on at their next look.
    if (repair)
      for (const { id, missing } of differences)
        if (missing > 0) await query('UPDATE conversations SET caught_up_to = NULL WHERE id = $1', [id]);
    return differences.length;
  } finally {
    await Promise.all([http.close(), client.close()]);
  }
}
