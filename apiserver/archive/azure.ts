/** Archives in a container of Azure Blob Storage, which has to be there. */
import type { Readable } from 'node:stream';
import { BlobServiceClient, RestError } from '@azure/storage-blob';
import type { ArchiveSettings, ArchiveStore, Place } from './store.js';

const BLOCK_BYTES = 4 * 1024 * 1024;

export function azureStore({ name, prefix }: Place, { connectionString = '' }: ArchiveSettings): ArchiveStore {
  const container = BlobServiceClient.fromConnectionString(connectionString).getContainerClient(name);
  const blob = (key: string) => container.getBlockBlobClient(prefix + key);
  return {
    async put(key, content) {
      // Blocks are no blob before the last call commits them; left over, Azure drops them after a week.
      await blob(key).uploadStream(content, BLOCK_BYTES, 1, {
        blobHTTPHeaders: { blobContentType: 'application/gzip' },
      });
    },
    async get(key) {
      try {
        return (await blob(key).download()).readableStreamBody as Readable | undefined;
      } catch (error) {
        if (error instanceof RestError && error.statusCode === 404) return undefined;
        throw error;
      }
    },
    async *list() {
      for await (const { name: key, properties } of container.listBlobsFlat({ prefix }))
        yield { key: key.slice(prefix.length), at: properties.lastModified };
    },
    async remove(key) {
      await blob(key).deleteIfExists();
    },
    close: () => Promise.resolve(),
  };
}
