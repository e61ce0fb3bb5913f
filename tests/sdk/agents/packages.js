// The agents' packages, more than a gigabyte: installed when they are asked for, as package-lock.json names them,
// into a folder of the build or that of MLXD_AGENTS.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { REPOSITORY } from '../mlxd.js';

const FOLDER = process.env.MLXD_AGENTS ?? path.join(REPOSITORY, 'build/agents');

function textOf(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}

function npm(...args) {
  const { status, error } = spawnSync('npm', args, { cwd: FOLDER, stdio: 'inherit' });
  if (error || status !== 0) throw new Error(`npm ${args[0]} in ${FOLDER} failed: ${error?.message ?? `status ${status}`}`);
}

/** Installs them unless they are there; the folder of their programs. */
export function ensureAgents() {
  const lock = path.join(import.meta.dirname, 'package-lock.json');
  const stamp = path.join(FOLDER, 'node_modules/.installed-lock.json');
  if (textOf(stamp) !== readFileSync(lock, 'utf8')) {
    console.log(`installing the agents into ${FOLDER}`);
    mkdirSync(FOLDER, { recursive: true });
    for (const name of ['package.json', 'package-lock.json']) copyFileSync(path.join(import.meta.dirname, name), path.join(FOLDER, name));
    // Not `npm ci`: where a registry lacks the programs for some other system, the lock file does too, and npm ci then refuses it.
    npm('install', '--no-save', '--no-audit', '--no-fund', '--ignore-scripts');
    // These two put the program for this system in its place.
    npm('rebuild', '--ignore-scripts=false', '@anthropic-ai/claude-code', 'opencode-ai');
    copyFileSync(lock, stamp);
  }
  return path.join(FOLDER, 'node_modules/.bin');
}
