import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { unpackTemplate } from './unpack.js';

/** One ustar entry. */
function entry(path: string, content: string | undefined): Buffer {
  const head = Buffer.alloc(512);
  head.write(path, 0);
  head.write((content?.length ?? 0).toString(8).padStart(11, '0'), 124);
  head.write(content === undefined ? '5' : '0', 156);
  const body = Buffer.alloc(Math.ceil((content?.length ?? 0) / 512) * 512);
  body.write(content ?? '');
  return Buffer.concat([head, body]);
}

t.test('a template becomes a folder, whole and inside itself', async (t) => {
  const root = t.testdir({});
  const tar = join(root, 't.tar');
  const long = 'x'.repeat(1300);
  writeFileSync(
    tar,
    Buffer.concat([
      entry('/base', undefined),
      entry('/base/1', long),
      entry('empty', ''),
      entry('../out', 'o'),
      Buffer.alloc(1024),
    ]),
  );
  const folder = join(root, 'data');
  unpackTemplate(tar, folder);
  t.equal(readFileSync(join(folder, 'base', '1'), 'utf8'), long);
  t.equal(readFileSync(join(folder, 'empty'), 'utf8'), '');
  t.equal(readFileSync(join(folder, 'out'), 'utf8'), 'o');
  t.notOk(existsSync(`${folder}.new`));
});
