/** Writes dist/pglite-template.tar: a new, migrated data folder, from which first starts and tests begin. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { connectionOf, markOf, startPglite, templateFile, templateMark } from '../apiserver/db/open.js';
import { migrate, readMigrations } from '../apiserver/db/migrate.js';

rmSync(templateFile(), { force: true });
const pglite = await startPglite(undefined);
await migrate(connectionOf(pglite), readMigrations());
await pglite.exec('CHECKPOINT');
const dump = await pglite.dumpDataDir('none');
mkdirSync(dirname(templateFile()), { recursive: true });
writeFileSync(templateFile(), Buffer.from(await dump.arrayBuffer()));
writeFileSync(templateMark(), markOf(readMigrations()));
await pglite.close();
