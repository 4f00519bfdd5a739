/** Where archived trajectories lie: named objects, written once, read as streams, listed to find what is too old. */
import type { Readable } from 'node:stream';

export interface Stored {
  key: string;
  /** When it was written, by the store's clock. */
  at: Date;
}

export interface ArchiveStore {
  /** Whole or not at all: an object whose stream failed is not there afterwards. */
  put(key: string, content: Readable): Promise<void>;
  /** undefined: there is none. */
  get(key: string): Promise<Readable | undefined>;
  list(): AsyncIterable<Stored>;
  /** Also when there is none. */
  remove(key: string): Promise<void>;
  close(): Promise<void>;
}

/** `file:///var/lib/sandlot/archive`, `s3://bucket/prefix`, `azure://container/prefix`. */
export const ARCHIVE_URL = /^(file:\/\/\/[^?#]+|(s3|azure):\/\/[a-z0-9][a-z0-9.-]{2,62}(\/[\w.-]+)*)$/;

export interface ArchiveSettings {
  url: string;
  /** How long something stays. */
  keepMs: number;
  /** Of an S3 server that is not Amazon's. */
  endpoint?: string | undefined;
  region?: string | undefined;
  /** Of an Azure storage account. */
  connectionString?: string | undefined;
}

/** The SDKs are read only where they are used: they are large. */
export async function openStore(settings: ArchiveSettings): Promise<ArchiveStore> {
  const url = new URL(settings.url);
  const place = {
    name: url.hostname,
    prefix: url.pathname === '' || url.pathname === '/' ? '' : `${url.pathname.slice(1)}/`,
  };
  switch (url.protocol) {
    case 's3:':
      return (await import('./s3.js')).s3Store(place, settings);
    case 'azure:':
      return (await import('./azure.js')).azureStore(place, settings);
    default:
      return (await import('./folder.js')).folderStore(url);
  }
}

/** A bucket or container, and what its keys begin with. */
export interface Place {
  name: string;
  /** Empty, or with a slash at its end. */
  prefix: string;
}
