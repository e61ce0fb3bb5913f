// Codex (npm: @openai/codex) against a server, for some turns: no request may fail. Run by hand:
//   MLXD_BINARY=…/mlxd CODEX=…/node_modules/.bin/codex node agents/codex.js
// The model's text is noise, so it calls no tools; what is tried is that every request is taken and every event
// understood. Its answers end at the first of some letters, by a profile.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { makeTinyModel } from './tiny_model.js';

const demo = process.env.MLXD_TEST_MODEL ?? path.join(homedir(), '.mlxd/models/SmolLM2-135M-Instruct-4bit');
const codex = process.env.CODEX ?? 'codex';
const model = await makeTinyModel(demo);
process.env.MLXD_TEST_MODEL = model;
const { startServer } = await import('../mlxd.js');

/** Passes requests on to `target` and notes each one's status. */
async function startRecorder(target) {
  const seen = [];
  const server = http.createServer((request, response) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', async () => {
      const body = Buffer.concat(pieces);
      const headers = { ...request.headers, host: new URL(target).host };
      const answer = await fetch(target + request.url, {
        method: request.method,
        headers: Object.fromEntries(
          Object.entries(headers).filter(([name]) => !['connection', 'content-length', 'transfer-encoding'].includes(name)),
        ),
        body: body.length > 0 ? body : undefined,
      });
      const text = await answer.text();
      seen.push({ method: request.method, url: request.url, status: answer.status, body: body.toString(), text,
        ignored: answer.headers.get('x-mlxd-ignored') });
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' });
      response.end(text);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, seen, stop: () => server.close() };
}

const server = await startServer();
const recorder = await startRecorder(server.url);
const work = await mkdtemp(path.join(tmpdir(), 'mlxd-codex-'));
try {
  const token = JSON.parse(await readFile(path.join(server.stateFolder, 'server.json'), 'utf8')).token;
  const made = await fetch(`${server.url}/api/v1/profiles`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      name: 'short',
      model: path.basename(model),
      defaults: { stop: ['a', 'e', 'i', 'o', 'u', 'n', 'r', 's', 't', ' ', '\n'] },
    }),
  });
  assert.equal(made.status, 201, await made.text());
  const home = path.join(work, 'home');
  const project = path.join(work, 'project');
  await mkdir(home);
  await mkdir(project);
  await writeFile(path.join(project, 'hello.txt'), 'hello\n');
  await writeFile(
    path.join(home, 'config.toml'),
    `model = "short"\nmodel_provider = "mlxd"\nmodel_context_window = 131072\n` +
      `[model_providers.mlxd]\nname = "mlxd"\nbase_url = "${recorder.url}/v1"\nwire_api = "responses"\n` +
      `request_max_retries = 0\nstream_max_retries = 0\n`,
  );
  const run = (args) =>
    new Promise((resolve) => {
      const child = execFile(
        codex,
        ['exec', '--skip-git-repo-check', '--sandbox', 'read-only', ...args],
        { cwd: project, env: { ...process.env, CODEX_HOME: home }, timeout: 300_000, maxBuffer: 1 << 26 },
        (error, stdout, stderr) => resolve({ code: error ? (error.code ?? 1) : 0, stdout, stderr }),
      );
      child.stdin.end();
    });
  for (const args of [['What is in hello.txt?'], ['resume', '--last', 'And who wrote it?'], ['resume', '--last', 'Thanks.']]) {
    const result = await run(args);
    console.log(`codex exec ${args.join(' ')}: exit ${result.code}`);
    if (result.code !== 0) console.log(result.stdout, result.stderr);
    assert.equal(result.code, 0);
  }
  const posts = recorder.seen.filter(({ method, url }) => method === 'POST' && url.startsWith('/v1/responses'));
  for (const { method, url, status, text, ignored } of recorder.seen) {
    console.log(method, url, status, ignored ?? '');
    assert.ok(status < 400, text);
  }
  assert.ok(posts.length >= 3, `${posts.length} requests for responses`);
  for (const { text } of posts) assert.match(text, /event: response\.completed\n/);
  console.log(`${posts.length} responses, the largest request ${Math.max(...posts.map(({ body }) => body.length))} bytes`);
} finally {
  recorder.stop();
  await server.stop();
  await rm(work, { recursive: true, force: true });
  await rm(path.dirname(model), { recursive: true, force: true });
}
