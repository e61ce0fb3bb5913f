// Several clients at once, through the official OpenAI SDK: what one does is not to be seen by another.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { collect, MODEL, startServer } from './mlxd.js';

const RUNNING = 'mlxd_sequences_running';
const CANCELLED = 'mlxd_sequences_cancelled_total';
const MAX_BATCH = 'mlxd_batch_sequences_max';
const POLLS = 200;
const POLL_EVERY_MS = 25;

const BEGINNINGS = [
  'Once upon a time, in a village by the sea,', 'The history of the steam engine begins',
  'In the middle of the forest there stood', 'The most important rule of cooking is',
  'A good friend of mine once told me that', 'The planet Mars has always', 'Here is a list of animals and their sounds:',
  'The first thing to know about the ocean is',
];

describe('a crowd', () => {
  let server;
  let openai;
  before(async () => {
    server = await startServer();
    openai = server.openai;
  });
  after(() => server?.stop());

  const write = (prompt, options) => openai.completions.create(
    { model: MODEL, prompt, temperature: 0, max_tokens: 48, stream: true, ...options?.parameters },
    options?.request,
  );

  /** Polls /metrics, a bounded number of times, until the value is the one expected; returns the last one seen. */
  async function metricBecomes(name, expected) {
    let value;
    for (let poll = 0; poll < POLLS; poll++) {
      value = (await server.metrics()).get(name);
      if (value === expected) {
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_EVERY_MS));
    }
    return value;
  }

  it('gives eight concurrent streams the texts that each has alone, in one batch', async () => {
    const alone = [];
    for (const prompt of BEGINNINGS) {
      alone.push((await collect(await write(prompt))).texts[0]);
    }
    assert.equal((await server.metrics()).get(MAX_BATCH), 1);
    const together = await Promise.all(
      BEGINNINGS.map(async (prompt) => (await collect(await write(prompt))).texts[0]),
    );
    assert.deepEqual(together, alone);
    assert.equal((await server.metrics()).get(MAX_BATCH), BEGINNINGS.length);
  });

  it('gives eight concurrent seeded streams the texts that each has alone', async () => {
    const sampled = (seed) => ({ parameters: { temperature: 0.9, top_p: 0.95, seed, max_tokens: 24 } });
    const alone = [];
    for (const [seed, prompt] of BEGINNINGS.entries()) {
      alone.push((await collect(await write(prompt, sampled(seed)))).texts[0]);
    }
    const together = await Promise.all(
      BEGINNINGS.map(async (prompt, seed) => (await collect(await write(prompt, sampled(seed)))).texts[0]),
    );
    assert.deepEqual(together, alone);
  });

  it('stops generating for a client that goes away, and only for that one', async () => {
    const expected = (await collect(await write(BEGINNINGS[0]))).texts[0];
    const cancelledBefore = (await server.metrics()).get(CANCELLED);
    const controller = new AbortController();
    const leaving = await write(BEGINNINGS[1], {
      parameters: { max_tokens: 4000 }, request: { signal: controller.signal },
    });
    const staying = collect(await write(BEGINNINGS[0]));
    let chunks = 0;
    for await (const _ of leaving) {
      chunks += 1;
      if (chunks === 5) {
        controller.abort();
      }
    }
    assert.ok(chunks < 1000, `${chunks} chunks came after the abort`);
    assert.equal((await staying).texts[0], expected);
    assert.equal(await metricBecomes(RUNNING, 0), 0);
    assert.equal((await server.metrics()).get(CANCELLED), cancelledBefore + 1);
  });
});
