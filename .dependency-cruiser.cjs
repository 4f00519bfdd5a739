/** The house's floors (CONTRIBUTING.md): a folder imports only from floors below, and nothing imports in a circle. */
const tests = '\\.test\\.ts$|/testing/';
const floor2 = ['operator', 'gateway', 'apiserver', 'sandbox'];
module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'kube-knows-nothing-of-sandboxes',
      severity: 'error',
      from: { path: '^kube/' },
      to: { path: '^(contracts|process|operator|gateway|apiserver|sandbox|local|web)/' },
    },
    {
      name: 'floor-1-contracts',
      severity: 'error',
      from: { path: '^contracts/' },
      to: { path: '^(process|kube|operator|gateway|apiserver|sandbox|local|web)/' },
    },
    {
      name: 'floor-1-process',
      severity: 'error',
      from: { path: '^process/' },
      to: { path: '^(contracts|kube|operator|gateway|apiserver|sandbox|local|web)/' },
    },
    ...floor2.map((name) => ({
      name: `${name}-stands-alone`,
      severity: 'error',
      from: { path: `^${name}/` },
      to: { path: `^(${[...floor2.filter((other) => other !== name), 'local', 'web'].join('|')})/` },
    })),
    {
      name: 'nothing-imports-tests',
      severity: 'error',
      from: { pathNot: `${tests}|^test/|^bench/` },
      to: { path: `${tests}|^test/|^bench/` },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(dist|node_modules|generated)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.tsx', '.js'] },
  },
};
