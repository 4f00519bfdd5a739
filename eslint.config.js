import tseslint from 'typescript-eslint';

/** Lint holds what types cannot: no lost promise (a lost promise in an operator is a lost reconcile), no `any`, small functions. */
export default tseslint.config(
  {
    ignores: [
      'node_modules',
      '.tap',
      'dist',
      'apiserver/db/generated',
      'contracts/resources.gen.ts',
      'test/kube',
      'test/conformance/*.mjs',
      '**/*.mjs',
      '**/*.cjs',
      'eslint.config.js',
      'web/vite.config.ts',
    ],
  },
  ...tseslint.configs.recommended,
  {
    files: ['**/*.ts', '**/*.tsx'],
    languageOptions: {
      parserOptions: { project: ['./tsconfig.json', './web/tsconfig.json'], tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      // t.test() queues a subtest; tap itself waits for it.
      '@typescript-eslint/no-floating-promises': [
        'error',
        { allowForKnownSafePromises: [{ from: 'package', name: 'PromiseWithSubtest', package: '@tapjs/core' }] },
      ],
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { attributes: false } }],
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'max-lines': ['error', { max: 400 }],
      'max-depth': ['error', 4],
      'max-params': ['error', 5],
      complexity: ['error', 20],
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: "Read the environment in the program's config module only." },
      ],
    },
  },
  {
    files: [
      '**/config.ts',
      '**/main.ts',
      'local/**',
      '**/*.test.ts',
      '**/testing/**',
      'test/**',
      'bench/**',
      'scripts/**',
      'sandbox/**/environment.ts',
    ],
    rules: { 'no-restricted-properties': 'off' },
  },
);
