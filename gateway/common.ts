/** What the routes of several sandboxes have in common: their owner's counters, their template's rules. Kept while one refers to it. */

/** Counters of all sandboxes of one owner. */
export interface OwnerLoad {
  requests: number;
  streams: number;
  /** Sandboxes that refer to it. */
  routes: number;
}

/** What sandboxes take from their template; kept in step with it. */
export interface TemplateRules {
  id: string;
  wakeOnRequest: boolean;
  /** It is in the cluster; Sandboxes may name one that is not (yet). */
  exists: boolean;
  /** Sandboxes that refer to it. */
  routes: number;
}

/** Counters by owner, kept while a sandbox of theirs is there. */
export function createOwners() {
  const owners = new Map<string, OwnerLoad>();
  return {
    take(owner: string): OwnerLoad {
      const load = owners.get(owner) ?? { requests: 0, streams: 0, routes: 0 };
      load.routes++;
      owners.set(owner, load);
      return load;
    },
    drop({ owner, ownerLoad }: { owner: string; ownerLoad: OwnerLoad }): void {
      if (--ownerLoad.routes === 0) owners.delete(owner);
    },
  };
}

/** Routes refer to these objects, so that a change of a template is one of all its sandboxes. Kept while it or one of them is there. */
export function createTemplates() {
  const templates = new Map<string, TemplateRules>();
  const rulesOf = (id: string): TemplateRules => {
    const rules = templates.get(id) ?? { id, wakeOnRequest: false, exists: false, routes: 0 };
    templates.set(id, rules);
    return rules;
  };
  const forget = (rules: TemplateRules) => {
    if (rules.routes === 0 && !rules.exists) templates.delete(rules.id);
  };
  return {
    size: () => templates.size,
    take(id: string): TemplateRules {
      const rules = rulesOf(id);
      rules.routes++;
      return rules;
    },
    drop(rules: TemplateRules | undefined): void {
      if (rules === undefined) return;
      rules.routes--;
      forget(rules);
    },
    set: (id: string, wakeOnRequest: boolean) => void Object.assign(rulesOf(id), { wakeOnRequest, exists: true }),
    remove(id: string): void {
      forget(Object.assign(rulesOf(id), { wakeOnRequest: false, exists: false }));
    },
  };
}
