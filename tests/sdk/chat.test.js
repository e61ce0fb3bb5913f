// The official OpenAI SDK against /v1/models and /v1/chat/completions.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { collect, MODEL, startServer } from './mlxd.js';

const SHAKESPEARE = [{ role: 'user', content: 'Who wrote Romeo and Juliet?' }];

describe('chat completions', () => {
  let server;
  let openai;
  before(async () => {
    server = await startServer();
    openai = server.openai;
  });
  after(() => server?.stop());

  const greedy = (extra = {}) => ({ model: MODEL, messages: SHAKESPEARE, temperature: 0, max_tokens: 40, ...extra });

  it('lists the demo model', async () => {
    const models = [];
    for await (const model of openai.models.list()) {
      models.push(model);
    }
    const model = models.find(({ id }) => id === MODEL);
    assert.ok(model, `ids: ${models.map(({ id }) => id)}`);
    assert.equal(model.object, 'model');
    assert.ok(Number.isInteger(model.created) && model.created > 0);
  });

  it('knows who wrote Romeo and Juliet', async () => {
    const completion = await openai.chat.completions.create(greedy());
    assert.match(completion.choices[0].message.content, /William Shakespeare/);
    assert.equal(completion.object, 'chat.completion');
    assert.equal(completion.model, MODEL);
    assert.equal(completion.choices[0].message.role, 'assistant');
    assert.ok(['stop', 'length'].includes(completion.choices[0].finish_reason));
    const { prompt_tokens, completion_tokens, total_tokens } = completion.usage;
    assert.ok(prompt_tokens > 0 && completion_tokens > 0);
    assert.equal(total_tokens, prompt_tokens + completion_tokens);
  });

  it('streams the text that it gives in one piece', async () => {
    const whole = await openai.chat.completions.create(greedy());
    const streamed = await collect(await openai.chat.completions.create(greedy({ stream: true })));
    assert.deepEqual(streamed.texts, [whole.choices[0].message.content]);
    assert.deepEqual(streamed.finishReasons, [whole.choices[0].finish_reason]);
    assert.ok(streamed.chunks > 3, `only ${streamed.chunks} chunks`);
    assert.equal(streamed.usage, null);
  });

  it('opens a stream with the role and ends it with the reason', async () => {
    const chunks = [];
    for await (const chunk of await openai.chat.completions.create(greedy({ stream: true }))) {
      chunks.push(chunk);
    }
    assert.equal(chunks[0].choices[0].delta.role, 'assistant');
    assert.equal(chunks[0].choices[0].delta.content, '');
    assert.ok(chunks.at(-1).choices[0].finish_reason);
    assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
  });

  it('counts usage in a stream when asked', async () => {
    const whole = await openai.chat.completions.create(greedy());
    const streamed = await collect(
      await openai.chat.completions.create(greedy({ stream: true, stream_options: { include_usage: true } })),
    );
    assert.equal(streamed.usage.prompt_tokens, whole.usage.prompt_tokens);
    assert.equal(streamed.usage.completion_tokens, whole.usage.completion_tokens);
    assert.equal(streamed.usage.total_tokens, whole.usage.total_tokens);
  });

  it('stops before a stop string, streamed and not', async () => {
    const whole = (await openai.chat.completions.create(greedy())).choices[0].message.content;
    // Across a token boundary wherever that lies: letters from the middle of the answer.
    const stop = whole.slice(Math.floor(whole.length / 2), Math.floor(whole.length / 2) + 5);
    const expected = whole.slice(0, whole.indexOf(stop));
    for (const value of [stop, ['never in there', stop]]) {
      const stopped = await openai.chat.completions.create(greedy({ stop: value }));
      assert.equal(stopped.choices[0].message.content, expected);
      assert.equal(stopped.choices[0].finish_reason, 'stop');
      const streamed = await collect(await openai.chat.completions.create(greedy({ stop: value, stream: true })));
      assert.deepEqual(streamed.texts, [expected]);
      assert.deepEqual(streamed.finishReasons, ['stop']);
    }
  });

  it('ends at max_tokens and at max_completion_tokens', async () => {
    for (const limit of [{ max_tokens: 5 }, { max_tokens: undefined, max_completion_tokens: 5 }]) {
      const completion = await openai.chat.completions.create(greedy(limit));
      assert.equal(completion.usage.completion_tokens, 5);
      assert.equal(completion.choices[0].finish_reason, 'length');
    }
  });

  it('repeats n choices for the same seed, and they differ from each other', async () => {
    const parameters = greedy({ temperature: 1, n: 2, seed: 7, max_tokens: 24 });
    const texts = (completion) => completion.choices.map((choice) => choice.message.content);
    const first = await openai.chat.completions.create(parameters);
    const second = await openai.chat.completions.create(parameters);
    assert.deepEqual(first.choices.map(({ index }) => index), [0, 1]);
    assert.deepEqual(texts(second), texts(first));
    assert.notEqual(texts(first)[0], texts(first)[1]);
    const other = await openai.chat.completions.create({ ...parameters, seed: 8 });
    assert.notDeepEqual(texts(other), texts(first));
    const streamed = await collect(await openai.chat.completions.create({ ...parameters, stream: true }));
    assert.deepEqual(streamed.texts, texts(first));
  });

  it('reports log-probabilities of the tokens that make the text', async () => {
    const parameters = greedy({ logprobs: true, top_logprobs: 3, max_tokens: 12 });
    const [choice] = (await openai.chat.completions.create(parameters)).choices;
    const tokens = choice.logprobs.content;
    const bytes = Buffer.from(tokens.flatMap((token) => token.bytes));
    assert.equal(bytes.toString('utf8'), choice.message.content);
    for (const token of tokens) {
      assert.ok(token.logprob <= 0, `${token.token}: ${token.logprob}`);
      assert.equal(token.top_logprobs.length, 3);
      const values = token.top_logprobs.map(({ logprob }) => logprob);
      assert.deepEqual(values, values.toSorted((a, b) => b - a));
      assert.equal(token.top_logprobs[0].token, token.token, 'greedy takes the most probable token');
      assert.equal(token.top_logprobs[0].logprob, token.logprob);
    }

    const streamed = [];
    for await (const chunk of await openai.chat.completions.create({ ...parameters, stream: true })) {
      streamed.push(...(chunk.choices[0]?.logprobs?.content ?? []));
    }
    assert.deepEqual(streamed, tokens);
  });

  it('takes message content in parts and the developer role', async () => {
    const plain = await openai.chat.completions.create(
      greedy({ messages: [{ role: 'system', content: 'Be brief.' }, ...SHAKESPEARE] }),
    );
    const parts = await openai.chat.completions.create(
      greedy({
        messages: [
          { role: 'developer', content: 'Be brief.' },
          { role: 'user', content: [{ type: 'text', text: SHAKESPEARE[0].content }] },
        ],
      }),
    );
    assert.equal(parts.choices[0].message.content, plain.choices[0].message.content);
    assert.equal(parts.usage.prompt_tokens, plain.usage.prompt_tokens);
  });
});
