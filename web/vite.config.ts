import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** Built into dist/web, which the API server serves. `npm run web` serves it with hot reload beside a running `npm start`. */
export default defineConfig({
  root: import.meta.dirname,
  plugins: [react()],
  build: { outDir: '../dist/web', emptyOutDir: true, sourcemap: false, chunkSizeWarningLimit: 1200 },
  server: { port: 5173, proxy: { '/api': 'http://localhost:3000' } },
});
