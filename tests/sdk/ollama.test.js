// The official Ollama SDK against /api.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Ollama } from 'ollama';
import { MODEL, startServer } from './mlxd.js';

const SHAKESPEARE = [{ role: 'user', content: 'Who wrote Romeo and Juliet?' }];
const GREEDY = { temperature: 0, num_predict: 24 };
const DURATIONS = ['total_duration', 'load_duration', 'prompt_eval_duration', 'eval_duration'];
const DOCUMENTED_URL = 'http://127.0.0.1:10242';
const DOCS = path.resolve(import.meta.dirname, '../../docs/api/ollama.md');
const CANCELLED = 'mlxd_sequences_cancelled_total';
const POLLS = 400;
const POLL_EVERY_MS = 25;

const PERSON = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 12 }, age: { type: 'integer', minimum: 0, maximum: 99 } },
  required: ['name', 'age'],
  additionalProperties: false,
};

/** Asks again, a bounded number of times, until `done` says so of the answer; returns the last one. */
async function until(ask, done) {
  let answer;
  for (let poll = 0; poll < POLLS; poll++) {
    answer = await ask();
    if (done(answer)) {
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_EVERY_MS));
  }
  return answer;
}

async function collect(stream) {
  const all = { content: '', thinking: '', lines: 0, last: null };
  for await (const line of stream) {
    all.lines += 1;
    all.content += line.message ? line.message.content : line.response;
    all.thinking += line.message?.thinking ?? line.thinking ?? '';
    all.last = line;
  }
  return all;
}

describe('ollama', () => {
  let server;
  let ollama;
  let owner;
  before(async () => {
    server = await startServer({ preload: false });
    ollama = new Ollama({ host: server.url });
    const { token } = JSON.parse(await readFile(path.join(server.stateFolder, 'server.json'), 'utf8'));
    owner = new Ollama({ host: server.url, headers: { Authorization: `Bearer ${token}` } });
  });
  after(() => server?.stop());

  const chat = (extra = {}) => ollama.chat({ model: MODEL, messages: SHAKESPEARE, options: GREEDY, ...extra });

  it('chats and counts', async () => {
    const answer = await chat();
    assert.match(answer.message.content, /William Shakespeare/);
    assert.equal(answer.message.role, 'assistant');
    assert.equal(answer.model, MODEL);
    assert.equal(answer.done, true);
    assert.ok(['stop', 'length'].includes(answer.done_reason));
    assert.ok(!Number.isNaN(Date.parse(answer.created_at)));
    for (const duration of DURATIONS) {
      assert.ok(Number.isInteger(answer[duration]) && answer[duration] >= 0, `${duration}: ${answer[duration]}`);
    }
    assert.ok(answer.eval_duration > 0 && answer.prompt_eval_duration > 0);
  });

  it('says what the OpenAI route says, with the same counts', async () => {
    const answer = await chat();
    const completion = await server.openai.chat.completions.create(
      { model: MODEL, messages: SHAKESPEARE, temperature: 0, max_tokens: 24 },
    );
    assert.equal(answer.message.content, completion.choices[0].message.content);
    assert.equal(answer.prompt_eval_count, completion.usage.prompt_tokens);
    assert.equal(answer.eval_count, completion.usage.completion_tokens);
    assert.equal(answer.done_reason, completion.choices[0].finish_reason);
  });

  it('streams the text that it gives in one piece', async () => {
    const whole = await chat();
    const streamed = await collect(await chat({ stream: true }));
    assert.equal(streamed.content, whole.message.content);
    assert.ok(streamed.lines > 3, `only ${streamed.lines} lines`);
    assert.equal(streamed.last.done, true);
    assert.equal(streamed.last.done_reason, whole.done_reason);
    assert.equal(streamed.last.eval_count, whole.eval_count);
    assert.equal(streamed.last.prompt_eval_count, whole.prompt_eval_count);
  });

  it('generates, streamed and not, with a system prompt and raw', async () => {
    const request = { model: MODEL, prompt: SHAKESPEARE[0].content, options: GREEDY };
    const whole = await ollama.generate(request);
    assert.equal(whole.response, (await chat()).message.content);
    assert.equal((await collect(await ollama.generate({ ...request, stream: true }))).content, whole.response);
    const system = { role: 'system', content: 'Answer in one word.' };
    const answer = await ollama.generate({ ...request, system: system.content });
    assert.equal(answer.response, (await chat({ messages: [system, ...SHAKESPEARE] })).message.content);
    const raw = await ollama.generate({ ...request, raw: true, prompt: 'The capital of France is' });
    const completion = await server.openai.completions.create(
      { model: MODEL, prompt: 'The capital of France is', temperature: 0, max_tokens: 24 },
    );
    assert.equal(raw.response, completion.choices[0].text);
  });

  it('follows options', async () => {
    const five = await chat({ options: { temperature: 0, num_predict: 5 } });
    assert.equal(five.eval_count, 5);
    assert.equal(five.done_reason, 'length');
    const whole = (await chat()).message.content;
    const stop = whole.slice(Math.floor(whole.length / 2), Math.floor(whole.length / 2) + 5);
    const stopped = await chat({ options: { ...GREEDY, stop: [stop] } });
    assert.equal(stopped.message.content, whole.slice(0, whole.indexOf(stop)));
    assert.equal(stopped.done_reason, 'stop');
    const warm = { temperature: 1, num_predict: 24, seed: 7 };
    const [first, again, other] = await Promise.all(
      [7, 7, 8].map(async (seed) => (await chat({ options: { ...warm, seed } })).message.content),
    );
    assert.equal(first, again);
    assert.notEqual(first, other);
    const plain = await chat({ options: { ...GREEDY, num_predict: 40 } });
    const penalized = await chat({ options: { ...GREEDY, num_predict: 40, repeat_penalty: 1.5, repeat_last_n: -1 } });
    assert.notEqual(penalized.message.content, plain.message.content);
  });

  it('names the options that nothing follows', async () => {
    const response = await fetch(`${server.url}/api/chat`, {
      method: 'POST',
      body: JSON.stringify({ model: MODEL, messages: SHAKESPEARE, stream: false,
        options: { ...GREEDY, num_predict: 1, num_ctx: 512, mirostat: 1, surprise: true } }),
    });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('x-mlxd-ignored'), 'options.mirostat, options.surprise');
  });

  it('keeps to a schema and to JSON, streamed and not', async () => {
    const request = { messages: [{ role: 'user', content: 'Tell me of Anna, who is 31.' }], format: PERSON,
      options: { temperature: 0, num_predict: 200 } };
    const whole = await chat(request);
    const person = JSON.parse(whole.message.content);
    assert.deepEqual(Object.keys(person).sort(), ['age', 'name']);
    assert.ok(Number.isInteger(person.age));
    assert.equal((await collect(await chat({ ...request, stream: true }))).content, whole.message.content);
    const generated = await ollama.generate({ model: MODEL, prompt: 'A person?', format: PERSON, options: request.options });
    assert.equal(typeof JSON.parse(generated.response).name, 'string');
    // Any object at all may be longer than the tokens there are.
    const free = await chat({ ...request, format: 'json' });
    assert.ok(free.message.content.trimStart().startsWith('{'), free.message.content);
  });

  it('reports log-probabilities', async () => {
    const answer = await chat({ logprobs: true, top_logprobs: 2, options: { temperature: 0, num_predict: 6 } });
    assert.equal(Buffer.from(answer.logprobs.flatMap(({ bytes }) => bytes)).toString(), answer.message.content);
    for (const token of answer.logprobs) {
      assert.ok(token.logprob <= 0);
      assert.equal(token.top_logprobs.length, 2);
      assert.equal(token.top_logprobs[0].token, token.token);
    }
  });

  it('takes tools and their results in the history', async () => {
    const tools = [{ type: 'function', function: { name: 'weather', description: 'The weather of a city',
      parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } } }];
    const answer = await chat({
      tools,
      messages: [
        { role: 'user', content: 'What is the weather in Rome?' },
        { role: 'assistant', content: '', thinking: 'I look it up.',
          tool_calls: [{ function: { name: 'weather', arguments: { city: 'Rome' } } }] },
        { role: 'tool', tool_name: 'weather', content: 'sunny, 25 degrees' },
      ],
    });
    assert.ok(answer.message.content.length > 0);
    const without = await chat({ messages: [{ role: 'user', content: 'What is the weather in Rome?' }] });
    assert.ok(answer.prompt_eval_count > without.prompt_eval_count);
  });

  it('takes think: false, and refuses think: true of a model that does not reason', async () => {
    assert.equal((await chat({ think: false })).message.content, (await chat()).message.content);
    await assert.rejects(chat({ think: true }), { name: 'ResponseError', status_code: 400, message: /think/ });
  });

  it('lists, shows and tells its version', async () => {
    const { models } = await ollama.list();
    const model = models.find(({ name }) => name === MODEL);
    assert.ok(model, JSON.stringify(models));
    assert.ok(model.size > 50_000_000);
    assert.match(model.digest, /^[0-9a-f]{64}$/);
    assert.deepEqual(model.details.families, ['llama']);
    assert.equal(model.details.parameter_size, '134.5M');
    assert.equal(model.details.quantization_level, '4bit');
    const shown = await ollama.show({ model: 'smollm2:135m' });
    assert.equal(shown.model_info['general.architecture'], 'llama');
    assert.equal(shown.model_info['llama.block_count'], 30);
    assert.ok(shown.model_info['llama.context_length'] > 0);
    assert.match(shown.template, /im_start/);
    assert.ok(shown.capabilities.includes('completion'));
    assert.match((await ollama.version()).version, /^\d+\.\d+\.\d+$/);
  });

  it('resolves names with a tag', async () => {
    for (const model of ['smollm2:135m', `${MODEL}:latest`]) {
      assert.equal((await chat({ model })).message.content, (await chat()).message.content);
    }
    await assert.rejects(chat({ model: 'llama3' }), { status_code: 404, message: /llama3/ });
  });

  it('loads with an empty request and lets go with keep_alive 0', async () => {
    const load = await ollama.generate({ model: MODEL, prompt: '', keep_alive: '10m' });
    assert.equal(load.done_reason, 'load');
    const { models: [running] } = await ollama.ps();
    assert.equal(running.name, MODEL);
    assert.ok(running.size > 50_000_000);
    assert.ok(running.context_length > 0);
    const left = Date.parse(running.expires_at) - Date.now();
    assert.ok(left > 60_000 && left < 660_000, `${left} ms left`);
    const unload = await ollama.chat({ model: MODEL, messages: [], keep_alive: 0 });
    assert.equal(unload.done_reason, 'unload');
    assert.deepEqual((await until(() => ollama.ps(), ({ models }) => models.length === 0)).models, []);
  });

  it('stops when the client aborts', async () => {
    const before = (await server.metrics()).get(CANCELLED) ?? 0;
    const stream = await chat({ stream: true, messages: [{ role: 'user', content: 'Count for ever.' }],
      options: { temperature: 0, num_predict: -1, repeat_penalty: 1.3 } });
    const pieces = [];
    await assert.rejects(async () => {
      for await (const piece of stream) {
        pieces.push(piece);
        if (pieces.length === 3) {
          ollama.abort();
        }
      }
    }, { name: 'AbortError' });
    const cancelled = await until(async () => (await server.metrics()).get(CANCELLED), (count) => count > before);
    assert.equal(cancelled, before + 1);
  });

  it('copies to a name and deletes it again', async () => {
    await owner.copy({ source: MODEL, destination: 'shakespeare' });
    assert.equal((await chat({ model: 'shakespeare' })).message.content, (await chat()).message.content);
    const shown = await owner.show({ model: 'shakespeare:latest' });
    assert.equal(shown.details.parent_model, MODEL);
    await owner.delete({ model: 'shakespeare' });
    await assert.rejects(owner.show({ model: 'shakespeare' }), { status_code: 404 });
    await assert.rejects(ollama.copy({ source: MODEL, destination: 'x' }), { status_code: 401 });
  });

  it('says why there is nothing to pull, create or embed', async () => {
    await assert.rejects(owner.pull({ model: 'llama3.2' }), { status_code: 404, message: /ORG\/NAME/ });
    await assert.rejects(owner.pull({ model: 'org/name:q4', stream: true }), { status_code: 400, message: /tag/ });
    assert.equal((await owner.pull({ model: MODEL })).status, 'success');
    await assert.rejects(owner.create({ model: 'x', from: MODEL }), { status_code: 501, message: /profile/ });
    await assert.rejects(ollama.embed({ model: MODEL, input: 'x' }), { status_code: 501, message: /embedding/ });
  });

  it('refuses images and unknown fields by name', async () => {
    await assert.rejects(chat({ messages: [{ ...SHAKESPEARE[0], images: ['aGk='] }] }),
      { status_code: 400, message: /messages\[0\]\.images/ });
    await assert.rejects(chat({ temperature: 1 }), { status_code: 400, message: /temperature/ });
  });

  it('runs the examples of its documentation', async () => {
    const examples = (await readFile(DOCS, 'utf8')).match(/^curl [^]*?(?:}'|\/\S+)$/gm) ?? [];
    assert.ok(examples.length >= 4, `${examples.length} examples`);
    for (const example of examples) {
      assert.ok(example.includes(DOCUMENTED_URL));
      const command = `${example.replaceAll(DOCUMENTED_URL, server.url)} --silent --show-error --fail --max-time 100`;
      const { stdout } = await promisify(execFile)('bash', ['-c', command]);
      const answers = stdout.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
      assert.ok(stdout === 'Ollama is running' || answers.length > 0, example);
      assert.ok(answers.every((answer) => !('error' in answer)), stdout);
    }
  });
});
