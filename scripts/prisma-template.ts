/** Makes dist/pglite-template: a migrated data folder, of which first starts and tests take a copy. */
import { rmSync, writeFileSync } from 'node:fs';
import { migrate, readMigrations } from '../apiserver/db/migrate.js';
import { connectionOf, markOf, startPglite, templateFolder, templateMark } from '../apiserver/db/embedded.js';

rmSync(templateMark(), { force: true });
rmSync(templateFolder(), { recursive: true, force: true });
const pglite = await startPglite(templateFolder());
await migrate(connectionOf(pglite), readMigrations());
await pglite.exec('CHECKPOINT');
await pglite.close();
writeFileSync(templateMark(), markOf(readMigrations()));
