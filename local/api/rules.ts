/** What built-in kinds need beyond their schema: names, defaults, and the checks that protect the user. */
import type { Cause } from './errors.js';
import type { Obj } from './object.js';
import { labelFault, serviceNameFault, subdomainFault } from './quantity.js';
import { podRules } from './podRules.js';
import {
  claimRules,
  namespaceRules,
  secretRules,
  configMapRules,
  serviceRules,
  sliceRules,
  storageClassRules,
  volumeRules,
} from './coreRules.js';
import { definitionRules } from './definitionRules.js';

export interface Rules {
  nameFault(name: string): string;
  /** Fills defaults into a new or changed object. Changes it. */
  prepare?(object: Obj, old: Obj | undefined): void;
  validate?(object: Obj, old: Obj | undefined): Cause[];
  /** The status of a new object. */
  firstStatus?(object: Obj): unknown;
  /** DELETE answers the object instead of a Status. */
  returnsDeleted?: boolean;
}

const PLAIN: Rules = { nameFault: subdomainFault };

const RULES: Record<string, Omit<Rules, 'nameFault'> & Partial<Pick<Rules, 'nameFault'>>> = {
  pods: { ...podRules, returnsDeleted: true },
  services: { ...serviceRules, nameFault: serviceNameFault, returnsDeleted: true },
  namespaces: { ...namespaceRules, nameFault: labelFault },
  secrets: secretRules,
  configmaps: configMapRules,
  persistentvolumeclaims: { ...claimRules, returnsDeleted: true },
  persistentvolumes: { ...volumeRules, returnsDeleted: true },
  serviceaccounts: { returnsDeleted: true },
  resourcequotas: { returnsDeleted: true },
  endpointslices: sliceRules,
  storageclasses: storageClassRules,
  customresourcedefinitions: definitionRules,
};

export const rulesOf = (plural: string): Rules => ({ ...PLAIN, ...RULES[plural] });
