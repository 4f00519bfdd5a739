/** Archives in an S3 bucket. Credentials come the ways that the AWS SDK knows: environment, web identity, instance role. */
import type { Readable } from 'node:stream';
import { DeleteObjectCommand, GetObjectCommand, ListObjectsV2Command, NoSuchKey, S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import type { ArchiveSettings, ArchiveStore, Place } from './store.js';

const PART_BYTES = 5 * 1024 * 1024;

export function s3Store({ name: Bucket, prefix }: Place, { endpoint, region }: ArchiveSettings): ArchiveStore {
  const client = new S3Client({
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    ...(region === undefined ? {} : { region }),
    maxAttempts: 4,
  });
  const at = (key: string) => ({ Bucket, Key: prefix + key });
  return {
    async put(key, content) {
      const upload = new Upload({
        client,
        params: { ...at(key), Body: content, ContentType: 'application/gzip' },
        // One part is sent while the next is gathered.
        queueSize: 1,
        partSize: PART_BYTES,
      });
      await upload.done();
    },
    async get(key) {
      try {
        const { Body } = await client.send(new GetObjectCommand(at(key)));
        return Body as Readable | undefined;
      } catch (error) {
        if (error instanceof NoSuchKey) return undefined;
        throw error;
      }
    },
    async *list() {
      let ContinuationToken: string | undefined;
      do {
        const page = await client.send(
          new ListObjectsV2Command({
            Bucket,
            Prefix: prefix,
            ...(ContinuationToken === undefined ? {} : { ContinuationToken }),
          }),
        );
        for (const { Key, LastModified } of page.Contents ?? [])
          if (Key !== undefined && LastModified !== undefined)
            yield { key: Key.slice(prefix.length), at: LastModified };
        ContinuationToken = page.NextContinuationToken;
      } while (ContinuationToken !== undefined);
    },
    async remove(key) {
      await client.send(new DeleteObjectCommand(at(key)));
    },
    close: () => Promise.resolve(client.destroy()),
  };
}
