// Claude Code, unmodified, for two turns against the server with a model of random weights: no request may be
// refused. Not in the default tests: `npm ci && node run.js` in this folder, with MLXD_BINARY as for the others.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { MODEL_FOLDER, startServer } from '../../mlxd.js';
import { makeRandomModel } from '../random_model.js';
import { startProxy } from '../recording_proxy.js';

const CLAUDE = process.env.CLAUDE_BINARY ?? path.join(import.meta.dirname, 'node_modules/.bin/claude');
const TURN_WITHIN_MS = 300_000;

const folder = await mkdtemp(path.join(tmpdir(), 'mlxd-claude-'));
const model = path.join(folder, 'random-128k');
await makeRandomModel(model, MODEL_FOLDER);
const server = await startServer({ folder: model, flags: ['--context', '131072'] });
const proxy = await startProxy(server.url);
try {
  const work = path.join(folder, 'work');
  await mkdir(work);
  const claude = async (...given) => {
    const running = promisify(execFile)(CLAUDE, ['--print', '--model', 'random-128k', '--output-format', 'json', ...given], {
      cwd: work,
      timeout: TURN_WITHIN_MS,
      env: {
        PATH: process.env.PATH, HOME: folder, ANTHROPIC_BASE_URL: proxy.url, ANTHROPIC_API_KEY: 'none',
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      },
    });
    running.child.stdin.end();
    return JSON.parse((await running).stdout);
  };
  const turns = [await claude('Say hello.'), await claude('--continue', 'And again.')];
  for (const { method, path: asked, status, error } of proxy.exchanges) console.log(method, asked, status, error);
  for (const turn of turns) {
    console.log(turn.usage);
    assert.equal(turn.is_error, false, turn.result);
    assert.ok(turn.usage.output_tokens > 0);
  }
  // The second turn's prompt begins as the first's, billing line or not.
  assert.ok(turns[1].usage.cache_read_input_tokens > 0.9 * turns[0].usage.input_tokens);
  const messages = proxy.exchanges.filter((exchange) => exchange.path.startsWith('/v1/messages'));
  assert.ok(messages.length >= 2);
  for (const exchange of proxy.exchanges) assert.ok(exchange.status >= 200 && exchange.status < 400, JSON.stringify(exchange));
  console.log('Claude Code ran: no request was refused.');
} finally {
  await proxy.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
