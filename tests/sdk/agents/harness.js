// Runs an agent, unmodified, against a server, and holds what went over the wire against the APIs' rules.
//
// An agent is `{ name, command, api, prepare({ url, home, model }), words(prompt, { model, again }), calls }`:
// `prepare` writes its configuration and returns its environment; `words` are its command line for a prompt, in a
// conversation that goes on if `again`; `calls(project)` are its calls `{ read, shell, edit }` of a task that
// both sides know: to read notes.txt, to run a command, to turn the purple elephant in notes.txt green.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MODEL_FOLDER, startServer } from '../mlxd.js';
import { startScripted } from '../scripted/server.js';
import { checkChatStream, checkMessageStream, checkResponseStream } from '../stream_rules.js';
import { makeRandomModel } from './random_model.js';
import { startProxy } from './recording_proxy.js';

const TURN_WITHIN_MS = 300_000;
const NOTES = 'The zoo has one purple elephant.\n';
const CHECKS = {
  '/v1/messages': (text) => checkMessageStream(text).usage.cache_read_input_tokens,
  '/v1/responses': (text) => checkResponseStream(text).usage.input_tokens_details.cached_tokens,
  '/v1/chat/completions': (text) => checkChatStream(text).usage.prompt_tokens_details.cached_tokens,
};

/** A folder with the agent's home and a project, for as long as `use` runs. */
async function inFolder(agent, use) {
  const folder = await mkdtemp(path.join(tmpdir(), `mlxd-${agent.name}-`));
  try {
    const home = path.join(folder, 'home');
    const project = path.join(folder, 'project');
    await mkdir(home);
    await mkdir(project);
    await writeFile(path.join(project, 'notes.txt'), NOTES);
    return await use({ folder, home, project });
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Runs one prompt to its end; what the agent printed. It must leave in order. */
async function turn(agent, environment, project, words) {
  return new Promise((resolve, reject) => {
    const child = execFile(
      agent.command, words, { cwd: project, env: environment, timeout: TURN_WITHIN_MS, maxBuffer: 1 << 26 },
      (error, stdout, stderr) => {
        if (error) reject(new Error(`${agent.name} ${words.join(' ')}: ${error.message}\n${stdout}\n${stderr}`));
        else resolve(stdout);
      },
    );
    child.stdin.end();
  });
}

// Having read this, an agent may go without waiting for the end of the body.
const LAST_EVENT = /^(event: (response\.(completed|incomplete)|message_stop)|data: \[DONE\])$/m;

/** Every request was taken and every stream is as its API wants it; the exchanges that asked for an answer. */
function checkExchanges(agent, exchanges) {
  const answers = [];
  for (const { method, path: asked, status, type, text, ignored, body, aborted } of exchanges) {
    const route = asked.split('?')[0];
    const left = aborted && !LAST_EVENT.test(text);
    console.log(`  ${method} ${asked} ${status} ${body.length} bytes${ignored ? `, ignored: ${ignored}` : ''}${left ? ', left' : ''}`);
    // Some look whether the server is there at a path of their maker's.
    if (method === 'HEAD' && route === '/') continue;
    assert.ok(status >= 200 && status < 400, `${method} ${asked}: ${status} ${text.slice(0, 2000)}`);
    if (!type.startsWith('text/event-stream') || left) continue;
    assert.ok(route in CHECKS, route);
    answers.push({ body: JSON.parse(body), cached: CHECKS[route](text) });
  }
  assert.ok(answers.length > 0, 'no answer was asked for');
  for (const { path: asked } of exchanges) assert.ok(!asked.startsWith('/v1/') || asked.startsWith('/v1/models') || asked.split('?')[0].startsWith(agent.api), asked);
  return answers;
}

/** The task with tools, in two turns, with a model of the dialect. */
export async function runScripted(agent, dialect) {
  await inFolder(agent, async ({ home, project }) => {
    const { read, shell, edit } = agent.calls(project);
    const server = await startScripted([dialect], [
      { when: '', text: 'A task with an elephant' },
      { when: 'task-one', thought: 'I have to read the notes.', calls: [read] },
      { when: 'one purple elephant', calls: [shell] },
      { when: 'shell says 42', text: 'Now I edit.', calls: [edit] },
      { when: 'one green elephant', text: 'The elephant is green now.' },
      { when: 'task-two', text: 'Its colour is green, as I said.' },
    ]);
    const proxy = await startProxy(server.url);
    try {
      const model = `scripted-${dialect}`;
      const environment = await agent.prepare({ url: proxy.url, home, project, model });
      const first = await turn(agent, environment, project, agent.words('Make the elephant in notes.txt green (task-one).', { model }));
      assert.match(first, /The elephant is green now\./);
      assert.equal(await readFile(path.join(project, 'notes.txt'), 'utf8'), 'The zoo has one green elephant.\n');
      assert.equal(await readFile(path.join(project, 'shell.txt'), 'utf8'), 'shell says 42\n');
      const second = await turn(agent, environment, project, agent.words('What colour is it (task-two)?', { model, again: true }));
      assert.match(second, /Its colour is green, as I said\./);
      const answers = checkExchanges(agent, proxy.exchanges).filter(({ body }) => body.tools?.length > 0);
      assert.ok(answers.length >= 5, `${answers.length} answers`);
      // Each goes on from the one before, and the second turn from the first.
      for (const { cached } of answers.slice(1)) assert.ok(cached > 500, `${cached} tokens were cached`);
      assert.deepEqual(server.unanswered(), []);
      console.log(`  ${answers.length} answers, cached: ${answers.map(({ cached }) => cached)}`);
    } finally {
      await proxy.close();
      await server.stop();
    }
  });
}

/** Three turns with a model of random weights and a context of 128k: its text is noise, its engine the real one. */
export async function runRandom(agent) {
  await inFolder(agent, async ({ folder, home, project }) => {
    const model = 'random-128k';
    await makeRandomModel(path.join(folder, model), MODEL_FOLDER);
    const server = await startServer({ folder: path.join(folder, model), flags: ['--context', '131072'] });
    const proxy = await startProxy(server.url);
    try {
      const environment = await agent.prepare({ url: proxy.url, home, project, model });
      await turn(agent, environment, project, agent.words('Say hello.', { model }));
      await turn(agent, environment, project, agent.words('And again.', { model, again: true }));
      await turn(agent, environment, project, agent.words('Thanks.', { model, again: true }));
      const answers = checkExchanges(agent, proxy.exchanges).filter(({ body }) => body.tools?.length > 0);
      assert.ok(answers.length >= 3, `${answers.length} answers`);
      for (const { cached } of answers.slice(1)) assert.ok(cached > 500, `${cached} tokens were cached`);
    } finally {
      await proxy.close();
      await server.stop();
    }
  });
}
