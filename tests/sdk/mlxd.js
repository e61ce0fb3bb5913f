// Starts the built program with the demo model on a free port of the loopback address, for one test file.
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import OpenAI from 'openai';

const READY_WITHIN_MS = 120_000;
const STOPPED_WITHIN_MS = 60_000;
const LOGGED_WITHIN_MS = 10_000;
export const REPOSITORY = path.resolve(import.meta.dirname, '../..');

export const MODEL = 'SmolLM2-135M-Instruct-4bit';
const home = process.env.MLXD_HOME ?? path.join(homedir(), '.mlxd');
export const MODEL_FOLDER = process.env.MLXD_TEST_MODEL ?? path.join(home, 'models', MODEL);
const BINARY = process.env.MLXD_BINARY ?? path.join(REPOSITORY, 'build/release/mlxd');
/** The server whose models say what a script tells them (tests/scripted). */
export const SCRIPTED_BINARY =
  process.env.MLXD_SCRIPTED_BINARY ?? path.join(path.dirname(BINARY), 'tests/scripted/mlxd_scripted');

/**
 * A running server of the model in `folder`, with further arguments of `serve`: `url`, its `stateFolder`, an `openai` client for it, `metrics()`,
 * and `stop()`. `preload: false`: the model is loaded when it is asked for.
 */
export async function startServer({ folder = MODEL_FOLDER, flags = [], preload = true } = {}) {
  const stateFolder = await mkdtemp(path.join(tmpdir(), 'mlxd-sdk-'));
  const words = ['serve', '--port', '0', '--threads', '2', ...flags];
  if (preload) {
    words.push('--model', folder);
  } else {
    await mkdir(path.join(stateFolder, 'models'));
    await symlink(folder, path.join(stateFolder, 'models', path.basename(folder)));
  }
  return startProcess(BINARY, words, stateFolder);
}

/** The same of any program that prints the ready line; `log()` is what it wrote to standard error, `logged(pattern)` the
 *  match in it, waited for: what was written before the ready line may be read after it. */
export async function startProcess(binary, words, stateFolder) {
  const child = spawn(binary, words, {
    env: { ...process.env, MLXD_HOME: stateFolder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (piece) => (log += piece));
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));

  const url = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`no ready line within ${READY_WITHIN_MS} ms; log:\n${log}`));
    }, READY_WITHIN_MS);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(new Error(`cannot start ${binary}: ${error.message}`));
    });
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      reject(new Error(`mlxd ended (${signal ?? code}) before it was ready; log:\n${log}`));
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      const ready = /^mlxd is ready at (http:\/\/127\.0\.0\.1:\d+)$/.exec(line);
      if (ready) {
        clearTimeout(timer);
        resolve(ready[1]);
      }
    });
  });

  return {
    url,
    stateFolder,
    log: () => log,
    async logged(pattern) {
      for (const began = Date.now(); Date.now() - began < LOGGED_WITHIN_MS; await delay(10)) {
        const found = pattern.exec(log);
        if (found) return found;
      }
      throw new Error(`the log has no ${pattern}:\n${log}`);
    },
    openai: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0, timeout: 120_000 }),
    metrics: () => fetchMetrics(url),
    /** Ends the server as a service manager would; fails if it does not leave in order. */
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOPPED_WITHIN_MS);
      const { code, signal } = await exited;
      clearTimeout(timer);
      await rm(stateFolder, { recursive: true, force: true });
      if (code !== 0) {
        throw new Error(`mlxd ended with ${signal ?? code} after SIGTERM; log:\n${log}`);
      }
    },
  };
}

/** All samples of /metrics, as a map from "name{labels}" and from the bare name (the labels' sum) to a number. */
async function fetchMetrics(url) {
  const response = await fetch(`${url}/metrics`);
  if (response.status !== 200) {
    throw new Error(`/metrics answered ${response.status}`);
  }
  const samples = new Map();
  for (const line of (await response.text()).split('\n')) {
    const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)/.exec(line);
    if (match) {
      const [, name, labels = '', value] = match;
      samples.set(name + labels, Number(value));
      if (labels) {
        samples.set(name, (samples.get(name) ?? 0) + Number(value));
      }
    }
  }
  return samples;
}

/** Reads a stream of chat or completion chunks to its end; texts and finish reasons by choice index. */
export async function collect(stream) {
  const texts = [];
  const finishReasons = [];
  let usage = null;
  let chunks = 0;
  for await (const chunk of stream) {
    chunks += 1;
    usage = chunk.usage ?? usage;
    for (const choice of chunk.choices) {
      const piece = choice.delta ? (choice.delta.content ?? '') : choice.text;
      texts[choice.index] = (texts[choice.index] ?? '') + piece;
      finishReasons[choice.index] = choice.finish_reason ?? finishReasons[choice.index];
    }
  }
  return { texts, finishReasons, usage, chunks };
}
