import { sveltekit } from '@sveltejs/kit/vite';
import tailwindcss from '@tailwindcss/vite';
import { defineConfig } from 'vitest/config';

// `npm run dev` takes the API from a running server.
const server = process.env.MLXD_URL ?? 'http://127.0.0.1:10242';
const paths = ['/v1', '/api', '/healthz', '/readyz', '/metrics', '/web'];

export default defineConfig({
  plugins: [tailwindcss(), sveltekit()],
  build: { target: 'es2022', assetsInlineLimit: 0, chunkSizeWarningLimit: 2000 },
  server: {
    proxy: Object.fromEntries(paths.map((path) => [path, { target: server, changeOrigin: true }])),
  },
  test: { include: ['src/**/*.test.ts'], environment: 'jsdom' },
  resolve: process.env.VITEST ? { conditions: ['browser'] } : undefined,
});
