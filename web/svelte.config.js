import adapter from '@sveltejs/adapter-static';
import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';

const out = process.env.MLXD_WEB_OUT ?? 'build';

/** @type {import('@sveltejs/kit').Config} */
export default {
  preprocess: vitePreprocess(),
  compilerOptions: { runes: ({ filename }) => (filename.includes('node_modules') ? undefined : true) },
  kit: {
    // Every page is the one index.html; the server chooses the routes that get it (tools/embed.mjs).
    adapter: adapter({ pages: out, assets: out, fallback: 'index.html' }),
    // Its own folder for each build of it, so that two builds at once do not meet.
    outDir: process.env.MLXD_WEB_WORK ?? '.svelte-kit',
    version: { name: process.env.MLXD_WEB_VERSION ?? 'development' },
    output: { bundleStrategy: 'split' },
  },
};
