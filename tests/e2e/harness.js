// A running server and a browser for one test file. A page fails its test by an error in its console, an exception, a
// violation of the Content-Security-Policy, or a request to anywhere but the server.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { chromium } from 'playwright-core';

const READY_WITHIN_MS = 120_000;
const STOPPED_WITHIN_MS = 60_000;
const LOGGED_WITHIN_MS = 10_000;
const REPOSITORY = path.resolve(import.meta.dirname, '../..');

export const MODEL = 'SmolLM2-135M-Instruct-4bit';
const home = process.env.MLXD_HOME ?? path.join(homedir(), '.mlxd');
export const MODEL_FOLDER = process.env.MLXD_TEST_MODEL ?? path.join(home, 'models', MODEL);
const BINARY = process.env.MLXD_BINARY ?? path.join(REPOSITORY, 'build/release/mlxd');

const BROWSER = [
  process.env.MLXD_CHROMIUM,
  '/usr/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
].find((file) => file && existsSync(file));

/** Why browser tests cannot run here; false if they can. For `describe`'s `skip`. */
export const noBrowser = BROWSER === undefined && 'no Chromium here: script/bootstrap --test installs it';

/** `url`, the setup link's `setupToken` (null if the server has none), and `stop()`. */
export async function startServer(...flags) {
  const stateFolder = await mkdtemp(path.join(tmpdir(), 'mlxd-e2e-'));
  await mkdir(path.join(stateFolder, 'models'));
  await symlink(MODEL_FOLDER, path.join(stateFolder, 'models', MODEL));
  return runServer(stateFolder, ['--model', MODEL, ...flags]);
}

/** With the demo model, and a hub to download from. */
export async function startServerWithHub(hubUrl, ...flags) {
  const stateFolder = await mkdtemp(path.join(tmpdir(), 'mlxd-e2e-'));
  await mkdir(path.join(stateFolder, 'models'));
  await symlink(MODEL_FOLDER, path.join(stateFolder, 'models', MODEL));
  return runServer(stateFolder, ['--model', MODEL, ...flags], { HF_ENDPOINT: hubUrl });
}

/** As on the day it is installed: no model, no account, and a hub to download from. */
export async function startEmptyServer(hubUrl) {
  return runServer(await mkdtemp(path.join(tmpdir(), 'mlxd-e2e-')), [], { HF_ENDPOINT: hubUrl });
}

/** The hub of tests/hub with the demo model in it, which comes at `bytesPerSecond`. */
export async function startHub(bytesPerSecond) {
  const python = path.join(REPOSITORY, '.venv/bin/python');
  const program = path.join(import.meta.dirname, 'demo_hub.py');
  const child = spawn(existsSync(python) ? python : 'python3', ['-B', program, MODEL_FOLDER, String(bytesPerSecond)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const url = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the fixture hub ended with ${code}`)));
    createInterface({ input: child.stdout }).once('line', resolve);
  });
  return {
    url,
    async stop() {
      child.stdin.end();
      await exited;
    },
  };
}

async function runServer(stateFolder, flags, environment = {}) {
  const child = spawn(BINARY, ['serve', '--port', '0', '--threads', '2', ...flags], {
    env: { ...process.env, MLXD_HOME: stateFolder, HF_HOME: stateFolder, HF_HUB_CACHE: path.join(stateFolder, 'hub'), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (piece) => (log += piece));
  child.stdout.on('data', (piece) => (log += piece));
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
  const url = await new Promise((resolve, reject) => {
    const fail = (why) => {
      clearTimeout(timer);
      reject(new Error(`${why}; log:\n${log}`));
    };
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail(`no ready line within ${READY_WITHIN_MS} ms`);
    }, READY_WITHIN_MS);
    child.once('error', (error) => fail(`cannot start ${BINARY}: ${error.message}`));
    child.once('exit', (code, signal) => fail(`mlxd ended (${signal ?? code}) before it was ready`));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const ready = /^mlxd is ready at (http:\/\/127\.0\.0\.1:\d+)$/.exec(line);
      if (!ready) return;
      clearTimeout(timer);
      resolve(ready[1]);
    });
  });
  const setupToken = () => /#setup=([\w-]+)/.exec(log)?.[1] ?? null;
  // What was written before the ready line may be read after it.
  if (!(await (await fetch(`${url}/api/v1/auth/state`)).json()).has_users) {
    for (const began = Date.now(); !setupToken() && Date.now() - began < LOGGED_WITHIN_MS; ) await delay(10);
  }
  return {
    url,
    get setupToken() {
      return setupToken();
    },
    async routes() {
      return (await (await fetch(`${url}/web/server.json`)).json()).routes;
    },
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOPPED_WITHIN_MS);
      const { code, signal } = await exited;
      clearTimeout(timer);
      await rm(stateFolder, { recursive: true, force: true });
      if (code !== 0) throw new Error(`mlxd ended with ${signal ?? code} after SIGTERM; log:\n${log}`);
    },
  };
}

export function startBrowser() {
  return chromium.launch({
    executablePath: BROWSER,
    args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--no-first-run', '--force-color-profile=srgb'],
  });
}

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

/** A page in a fresh context. `problems` gathers what must not happen; `close()` fails if anything did. */
export async function openPage(browser, url, { viewport = DESKTOP, dark = false, locale = 'en-US', allow = [] } = {}) {
  const phone = viewport.width < 600;
  const context = await browser.newContext({ viewport, colorScheme: dark ? 'dark' : 'light', locale, isMobile: phone, hasTouch: phone, reducedMotion: 'reduce' });
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: url });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  // The demo model writes on to the end of its context. Where a test sets no limit, this does, and makes answers even.
  const limits = { 'chat/completions': 'max_tokens', responses: 'max_output_tokens', messages: 'max_tokens' };
  for (const [path, limit] of Object.entries(limits)) {
    await page.route(`**/v1/${path}`, (route) => {
      const body = route.request().postDataJSON();
      // Anthropic's has a limit always; the page's own, where no test sets one, is the model's context.
      const given = body[limit] < 1000 ? body[limit] : 48;
      return route.continue({ postData: JSON.stringify({ temperature: 0, ...body, [limit]: given }) });
    });
  }
  const problems = [];
  const note = (problem) => {
    if (!allow.some((pattern) => pattern.test(problem))) problems.push(problem);
  };
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) note(`console: ${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => note(`exception: ${error.stack}`));
  page.on('request', (request) => {
    const target = request.url();
    if (!target.startsWith(`${url}/`) && !target.startsWith('data:') && !target.startsWith('blob:')) note(`request to ${target}`);
  });
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample} (${event.sourceFile}:${event.lineNumber})`));
  });
  return {
    page,
    problems,
    async close() {
      const violations = await page.evaluate(() => globalThis.violations).catch(() => []);
      await context.close();
      assert.deepEqual([...problems, ...violations.map((each) => `policy: ${each}`)], []);
    },
  };
}

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
let axeSource;

/** Fails if axe finds anything on the page as it is now. */
export async function checkAccessibility(page, where) {
  axeSource ??= await readFile(AXE, 'utf8');
  // Through the debugger, as the page's policy allows no foreign script.
  await page.evaluate(axeSource);
  const found = await page.evaluate(async () => {
    const result = await globalThis.axe.run(document, { resultTypes: ['violations'] });
    return result.violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.slice(0, 4).map((node) => `${node.target.join(' ')}: ${node.failureSummary.replaceAll('\n', ' ')}`) }));
  });
  assert.deepEqual(found, [], `axe on ${where}`);
}

/** Keeps a picture where MLXD_SCREENSHOTS names a folder: for people, no test compares it. */
export async function picture(page, name) {
  const folder = process.env.MLXD_SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: path.join(folder, `${name}.png`) });
}

/** Asks in the chat on screen and waits for the answer's end. */
export async function ask(page, text) {
  await page.getByRole('textbox', { name: /^Message / }).fill(text);
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.getByRole('button', { name: 'Stop', exact: true }).waitFor({ state: 'detached', timeout: 60_000 });
  const answer = page.getByRole('article', { name: /^Answer of/ }).last();
  await answer.and(page.locator('[aria-busy="false"]')).waitFor({ timeout: 60_000 });
  return answer;
}
