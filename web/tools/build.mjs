// Builds the interface for the program: `node tools/build.mjs OUT [CACHE]` leaves in OUT
//   web_files.bin   all files and their compressed forms, one after the other
//   web_files.inc   the table of them, C++ rows of src/server/web_files.h
//   web_pages.inc   the routes that get index.html, from src/routes
// What was built of the same sources before lies in CACHE by their hash; then nothing is built. Fails if the first
// page loads more JavaScript than the budget.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { pack } from './pack.mjs';

const web = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const [out, cache = path.join(web, 'build/cache')] = process.argv.slice(2).map((each) => path.resolve(each));
const RESULTS = ['web_files.bin', 'web_files.inc', 'web_pages.inc'];
const SOURCES = ['src', 'static', 'tools', 'package.json', 'package-lock.json', 'svelte.config.js', 'vite.config.ts', 'tsconfig.json'];

if (out === undefined) {
  console.error('usage: node tools/build.mjs OUT [CACHE]');
  process.exit(2);
}

function* filesUnder(file) {
  if (fs.statSync(file).isDirectory()) for (const name of fs.readdirSync(file).sort()) yield* filesUnder(path.join(file, name));
  else yield file;
}

function hashOfSources() {
  const hash = createHash('sha256');
  for (const source of SOURCES) {
    for (const file of filesUnder(path.join(web, source))) {
      if (file.endsWith('.test.ts')) continue;
      hash.update(path.relative(web, file)).update('\0').update(fs.readFileSync(file)).update('\0');
    }
  }
  return hash.digest('hex').slice(0, 20);
}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: web, stdio: ['ignore', 2, 2], ...options });
  if (result.error) throw new Error(`cannot run ${command}: ${result.error.message}`);
  if (result.status !== 0) throw new Error(`failed: ${command} ${args.join(' ')}`);
}

// One build at a time installs packages, as several build folders may be built at once.
function installPackages() {
  const lock = path.join(web, 'package-lock.json');
  const stamp = path.join(web, 'node_modules/.installed-lock.json');
  const installed = () => fs.existsSync(stamp) && fs.readFileSync(stamp).equals(fs.readFileSync(lock));
  if (installed()) return;
  const guard = path.join(web, '.installing');
  for (let waitedMs = 0; ; waitedMs += 500) {
    try {
      fs.mkdirSync(guard);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      if (installed()) return;
      if (waitedMs > 600_000) throw new Error(`another build seems to install packages for ten minutes: remove ${guard}`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    }
  }
  try {
    if (installed()) return;
    console.error('web: installing packages');
    run('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts']);
    fs.copyFileSync(lock, stamp);
  } finally {
    fs.rmdirSync(guard);
  }
}

function build(key) {
  installPackages();
  const site = fs.mkdtempSync(path.join(cache, 'site-'));
  // SvelteKit's generated files have their own folder for each build too, so that two at once do not meet.
  const work = path.join(web, `.svelte-kit-${process.pid}`);
  try {
    console.error('web: building');
    // The types that the checker and editors read; the build's own lie apart.
    run(process.execPath, ['node_modules/@sveltejs/kit/svelte-kit.js', 'sync']);
    run(process.execPath, ['node_modules/vite/bin/vite.js', 'build', '--logLevel', 'warn'], {
      env: { ...process.env, MLXD_WEB_OUT: site, MLXD_WEB_WORK: work, MLXD_WEB_VERSION: key },
    });
    const packed = fs.mkdtempSync(path.join(cache, 'packed-'));
    pack({ site, routes: path.join(web, 'src/routes'), modules: path.join(web, 'node_modules'), out: packed });
    return packed;
  } finally {
    fs.rmSync(site, { recursive: true, force: true });
    fs.rmSync(work, { recursive: true, force: true });
  }
}

try {
  const key = hashOfSources();
  const kept = path.join(cache, key);
  fs.mkdirSync(cache, { recursive: true });
  if (!RESULTS.every((name) => fs.existsSync(path.join(kept, name)))) {
    const packed = build(key);
    fs.rmSync(kept, { recursive: true, force: true });
    fs.renameSync(packed, kept);
  }
  fs.mkdirSync(out, { recursive: true });
  for (const name of RESULTS) fs.copyFileSync(path.join(kept, name), path.join(out, name));
} catch (error) {
  console.error(`web: ${error.message}`);
  process.exit(1);
}
