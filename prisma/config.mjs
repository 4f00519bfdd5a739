// For the Prisma command line only (`npm run prisma -- …`): the API server gets its database from DATABASE_URL itself.
import { defineConfig } from 'prisma/config';

export default defineConfig({
  schema: 'schema.prisma',
  migrations: { path: 'migrations' },
  datasource: { url: process.env.DATABASE_URL || 'pglite:' },
});
