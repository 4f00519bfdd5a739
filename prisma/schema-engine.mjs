#!/usr/bin/env node
// Stands in for Prisma's schema-engine binary, which would be downloaded: the same engine, compiled to WebAssembly and
// published on npm, behind the binary's protocol (one JSON-RPC object a line on standard input and output).
// The Prisma command line starts it by PRISMA_SCHEMA_ENGINE_BINARY (scripts/prisma-cli.mjs).
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

const args = process.argv.slice(2);
/** All values given for an option. */
const option = (name) => args.flatMap((arg, i) => (arg === name ? [args[i + 1]] : []));

if (args.includes('--version')) {
  process.stdout.write('schema-engine-cli wasm\n');
  process.exit(0);
}

const [datasource] = option('--datasource');
const url =
  (datasource === undefined ? undefined : JSON.parse(datasource).url) ?? process.env.DATABASE_URL ?? 'pglite:';
const adapter = url.startsWith('pglite:') ? await embedded(url.slice('pglite:'.length)) : await server(url);

const command = args.indexOf('cli');
if (command === -1) await serve();
else await check();

/** A PGlite folder; in memory when it has no name. */
async function embedded(folder) {
  const { PGlite } = await import('@electric-sql/pglite');
  const { PrismaPGlite } = await import('pglite-prisma-adapter');
  return new PrismaPGlite(new PGlite(folder || undefined));
}

async function server(address) {
  const { PrismaPg } = await import('@prisma/adapter-pg');
  const { default: pg } = await import('pg');
  // Catalog queries answer columns of type "char" (OID 18), which the adapter refuses; text of fixed length (1042) is the same on the wire.
  const { addFields } = pg.Result.prototype;
  pg.Result.prototype.addFields = function (fields) {
    for (const field of fields) if (field.dataTypeID === 18) field.dataTypeID = 1042;
    return addFields.call(this, fields);
  };
  const { hostname, port, username, password, pathname } = new URL(address);
  // Fields, never a connection string: beside a string the adapter ignores the database's name, also that of the shadow.
  const factory = new PrismaPg({
    host: hostname,
    port: Number(port || 5432),
    user: decodeURIComponent(username),
    password: password === '' ? undefined : decodeURIComponent(password),
    database: decodeURIComponent(pathname.slice(1)),
  });
  // The adapter drops its shadow database before it has closed its connections and so leaves it behind; in memory needs no rights either.
  factory.connectToShadowDb = async () => (await embedded('')).connect();
  return factory;
}

/** `cli can-connect-to-database` and its like: exit code 0 when the database answers. */
async function check() {
  try {
    const connection = await adapter.connect();
    await connection.executeScript('select 1');
    await connection.dispose();
    process.exit(0);
  } catch (error) {
    const fields = { message: String(error?.message ?? error), error_code: 'P1003' };
    process.stderr.write(`${JSON.stringify({ level: 'ERROR', target: 'schema_engine::logger', fields })}\n`);
    process.exit(1);
  }
}

async function serve() {
  const engine = await startEngine();
  const answer = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  // The binary calls it getDatabaseVersion, the WebAssembly build version.
  const nameOf = (method) => (method === 'getDatabaseVersion' ? 'version' : method);
  const handle = async ({ id, method, params }) => {
    try {
      const result = await engine[nameOf(method)](params);
      if (method === 'diff' && result.stdout) answer({ id: 0, method: 'print', params: { content: result.stdout } });
      answer({ id, result: result ?? {} });
    } catch (error) {
      const data = {
        is_panic: false,
        message: String(error?.message ?? error),
        meta: null,
        error_code: error?.code ?? null,
      };
      answer({ id, error: { code: 4466, message: 'An error happened. Check the data field for details.', data } });
    }
  };
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() !== '') await handle(JSON.parse(line));
  }
  process.exit(0);
}

async function startEngine() {
  const folder = dirname(createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm'));
  const glue = await import(join(folder, 'schema_engine_bg.js'));
  const bytes = readFileSync(join(folder, 'schema_engine_bg.wasm'));
  const { instance } = await WebAssembly.instantiate(bytes, { './schema_engine_bg.js': glue });
  glue.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  const { bindMigrationAwareSqlAdapterFactory } = await import('@prisma/driver-adapter-utils');
  const datamodels = option('--datamodels').map((file) => [file, readFileSync(file, 'utf8')]);
  const options = { datamodels: datamodels.length > 0 ? datamodels : undefined };
  return await glue.SchemaEngine.new(options, () => {}, bindMigrationAwareSqlAdapterFactory(adapter));
}
