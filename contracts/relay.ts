/**
 * Apps that listen on their pod's loopback only: the gateway asks the agent server for `GET /sandlot/relay/<port>` with
 * `Upgrade: sandlot-relay` and the session key; after the 101 the connection is the app's.
 */
export const RELAY_PATH = '/sandlot/relay/';
export const RELAY_PROTOCOL = 'sandlot-relay';
