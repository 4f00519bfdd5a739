/** Who calls the Runtime API: the holder of an API key, in the header that its clients use. */
import { ApiError } from '../http/errors.js';
import { LOCAL_USER, type Identify } from '../identity/identity.js';

/** Single-user mode: whoever gets past the guard is the user; a client that forgot its key is told so all the same. */
export const identifyLocalCaller: Identify = ({ headers }) => {
  if ((headers['x-api-key'] ?? '') === '') throw new ApiError('no_api_key');
  return LOCAL_USER;
};
