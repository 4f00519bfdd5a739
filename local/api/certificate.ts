/**
 * A self-signed certificate for the loopback interface. kubectl sends a token over TLS only, so the API speaks TLS too.
 * Node can sign but not write X.509; the few DER structures are written here. Source: RFC 5280, X.690.
 */
import { createSign, generateKeyPairSync, randomBytes } from 'node:crypto';

const tlv = (tag: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  if (body.length < 128) return Buffer.concat([Buffer.from([tag, body.length]), body]);
  const length = Buffer.from(body.length.toString(16).padStart(body.length > 255 ? 4 : 2, '0'), 'hex');
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, body]);
};
const sequence = (...parts: Buffer[]): Buffer => tlv(0x30, ...parts);
const set = (...parts: Buffer[]): Buffer => tlv(0x31, ...parts);
const integer = (value: Buffer): Buffer => tlv(0x02, value);
const oid = (hex: string): Buffer => tlv(0x06, Buffer.from(hex, 'hex'));
const utf8 = (value: string): Buffer => tlv(0x0c, Buffer.from(value));
const bits = (value: Buffer): Buffer => tlv(0x03, Buffer.from([0]), value);
const octets = (value: Buffer): Buffer => tlv(0x04, value);
const time = (at: Date): Buffer => tlv(0x18, Buffer.from(`${at.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`));
const TRUE = tlv(0x01, Buffer.from([0xff]));

const ECDSA_SHA256 = sequence(oid('2a8648ce3d040302'));
const COMMON_NAME = '550403';
const BASIC_CONSTRAINTS = '551d13';
const KEY_USAGE = '551d0f';
const EXTENDED_USAGE = '551d25';
const ALTERNATIVE_NAMES = '551d11';
const SERVER_AUTH = '2b06010505070301';
const YEARS = 10;

export interface Certificate {
  /** PEM. */
  key: string;
  cert: string;
}

const LOOPBACK_6 = Buffer.from('00000000000000000000000000000001', 'hex');

function extensions(addresses: Buffer[]): Buffer {
  const names = sequence(tlv(0x82, Buffer.from('localhost')), ...addresses.map((address) => tlv(0x87, address)));
  const extension = (id: string, value: Buffer, critical = false) =>
    sequence(oid(id), ...(critical ? [TRUE] : []), octets(value));
  return tlv(
    0xa3,
    sequence(
      extension(BASIC_CONSTRAINTS, sequence(TRUE), true),
      // digitalSignature and keyCertSign.
      extension(KEY_USAGE, tlv(0x03, Buffer.from([2, 0x84])), true),
      extension(EXTENDED_USAGE, sequence(oid(SERVER_AUTH))),
      extension(ALTERNATIVE_NAMES, names),
    ),
  );
}

/** A new key and certificate for localhost, 127.0.0.1, ::1 and `host`. */
export function createCertificate(host: string, now: number): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = sequence(set(sequence(oid(COMMON_NAME), utf8('sandlot one-machine cluster'))));
  const start = new Date(now - 3_600_000);
  const end = new Date(now + YEARS * 365 * 86_400_000);
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x01;
  const own = /^\d+(\.\d+){3}$/.test(host) ? [Buffer.from(host.split('.').map(Number))] : [];
  const body = sequence(
    tlv(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    ECDSA_SHA256,
    name,
    sequence(time(start), time(end)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    extensions([Buffer.from([127, 0, 0, 1]), LOOPBACK_6, ...own]),
  );
  const signature = createSign('sha256').update(body).sign(privateKey);
  const der = sequence(body, ECDSA_SHA256, bits(signature));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
  };
}
