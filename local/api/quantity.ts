/** Syntax checks of the API's small languages. Source: the Kubernetes API reference (names, labels, quantities). */

const QUANTITY = /^[+-]?(\d+(\.\d*)?|\.\d+)(m|n|u|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei|[eE][+-]?\d+)?$/;
export const isQuantity = (value: string): boolean => QUANTITY.test(value);

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LABEL_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

const regexNote = (example: string, regex: string) => `(e.g. ${example}, regex used for validation is '${regex}')`;

/** Why a name is no DNS subdomain (RFC 1123), as the real one says it; empty when it is one. */
export function subdomainFault(value: string): string {
  if (value.length > 253) return 'must be no more than 253 bytes';
  if (SUBDOMAIN.test(value)) return '';
  const regex = '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*';
  return `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character ${regexNote("'example.com'", regex)}`;
}

export function labelFault(value: string): string {
  if (value.length > 63) return 'must be no more than 63 bytes';
  if (LABEL.test(value)) return '';
  const note = regexNote("'my-name',  or '123-abc'", '[a-z0-9]([-a-z0-9]*[a-z0-9])?');
  return `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character ${note}`;
}

export function serviceNameFault(value: string): string {
  if (value.length > 63) return 'must be no more than 63 bytes';
  if (LABEL_1035.test(value)) return '';
  const note = regexNote("'my-name',  or 'abc-123'", '[a-z]([-a-z0-9]*[a-z0-9])?');
  return `a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character ${note}`;
}

/** Why a label key or annotation key is none; empty when it is one. */
export function qualifiedNameFault(value: string): string {
  const parts = value.split('/');
  if (parts.length > 2) return `a valid label must be an optional DNS subdomain prefix and '/' followed by a name`;
  const name = parts[parts.length - 1] ?? '';
  const prefix = parts.length === 2 ? (parts[0] ?? '') : undefined;
  if (prefix === '') return 'prefix part must be non-empty';
  if (prefix !== undefined && subdomainFault(prefix) !== '') return `prefix part ${subdomainFault(prefix)}`;
  if (name === '') return 'name part must be non-empty';
  if (name.length > 63) return 'name part must be no more than 63 bytes';
  const note = regexNote("'MyName',  or 'my.name',  or '123-abc'", '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]');
  return QUALIFIED.test(name)
    ? ''
    : `name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character ${note}`;
}

export function labelValueFault(value: string): string {
  if (value.length > 63) return 'must be no more than 63 bytes';
  if (value === '' || QUALIFIED.test(value)) return '';
  const note = regexNote("'MyValue',  or 'my_value',  or '12345'", '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?');
  return `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character ${note}`;
}
