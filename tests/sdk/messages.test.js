// The official Anthropic SDK against /v1/messages, count_tokens and /v1/models.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import Anthropic, { BadRequestError, NotFoundError } from '@anthropic-ai/sdk';
import { MODEL, startServer } from './mlxd.js';

const SHAKESPEARE = [{ role: 'user', content: 'Who wrote Romeo and Juliet?' }];
const WEATHER = {
  name: 'get_weather',
  description: 'The weather of a city',
  input_schema: {
    type: 'object',
    properties: { unit: { type: 'string', enum: ['celsius', 'fahrenheit'] }, days: { type: 'integer', minimum: 1, maximum: 9 } },
    required: ['unit', 'days'],
    additionalProperties: false,
  },
};

describe('messages', () => {
  let server;
  let anthropic;
  before(async () => {
    server = await startServer();
    anthropic = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0, timeout: 120_000 });
  });
  after(() => server?.stop());

  const greedy = (extra = {}) => ({ model: MODEL, messages: SHAKESPEARE, temperature: 0, max_tokens: 40, ...extra });
  const create = (extra) => anthropic.messages.create(greedy(extra));
  const inputOf = ({ usage }) => usage.input_tokens + usage.cache_read_input_tokens;

  it('knows who wrote Romeo and Juliet', async () => {
    const message = await create();
    assert.equal(message.type, 'message');
    assert.equal(message.role, 'assistant');
    assert.equal(message.model, MODEL);
    assert.match(message.id, /^msg_/);
    assert.equal(message.content.length, 1);
    assert.match(message.content[0].text, /William Shakespeare/);
    assert.ok(['end_turn', 'max_tokens'].includes(message.stop_reason));
    assert.ok(message._request_id);
  });

  it('streams what it gives in one piece, with its usage', async () => {
    const whole = await create();
    const events = [];
    const stream = anthropic.messages.stream(greedy());
    stream.on('streamEvent', ({ type }) => events.push(type));
    const texts = [];
    stream.on('text', (text) => texts.push(text));
    const streamed = await stream.finalMessage();
    assert.equal(streamed.content[0].text, whole.content[0].text);
    assert.equal(texts.join(''), whole.content[0].text);
    assert.ok(texts.length > 3, `only ${texts.length} pieces`);
    assert.equal(streamed.stop_reason, whole.stop_reason);
    assert.equal(inputOf(streamed), inputOf(whole));
    assert.equal(streamed.usage.output_tokens, whole.usage.output_tokens);
    assert.ok(streamed.usage.cache_read_input_tokens > 0);
    assert.equal(events[0], 'message_start');
    assert.deepEqual(events.slice(-3), ['content_block_stop', 'message_delta', 'message_stop']);
  });

  it('says the same as a chat completion, for the same tokens', async () => {
    const system = 'Answer in one sentence.';
    const message = await create({ system: [{ type: 'text', text: system, cache_control: { type: 'ephemeral' } }] });
    const completion = await server.openai.chat.completions.create({
      model: MODEL, messages: [{ role: 'system', content: system }, ...SHAKESPEARE], temperature: 0, max_tokens: 40,
    });
    assert.equal(message.content[0].text, completion.choices[0].message.content);
    assert.equal(inputOf(message), completion.usage.prompt_tokens);
    assert.equal(message.usage.output_tokens, completion.usage.completion_tokens);
  });

  it('counts the tokens that a request uses', async () => {
    for (const extra of [{}, { system: 'Be brief.' }, { tools: [WEATHER] }]) {
      const { max_tokens, temperature, ...asked } = greedy(extra);
      const counted = await anthropic.messages.countTokens(asked);
      assert.equal(counted.input_tokens, inputOf(await create({ ...extra, max_tokens: 1 })));
    }
  });

  it('ends at a stop sequence and says which', async () => {
    const message = await create({ stop_sequences: ['Shakespeare', 'nothing'] });
    assert.equal(message.stop_reason, 'stop_sequence');
    assert.equal(message.stop_sequence, 'Shakespeare');
    assert.doesNotMatch(message.content[0]?.text ?? '', /Shakespeare/);
  });

  for (const choice of [{ type: 'any' }, { type: 'tool', name: 'get_weather' }]) {
    it(`calls a tool that must be called (${choice.type}), streamed or not`, async () => {
      const asked = {
        messages: [{ role: 'user', content: 'What is the weather in Paris?' }], max_tokens: 200, tools: [WEATHER],
        tool_choice: { ...choice, disable_parallel_tool_use: true },
      };
      const whole = await create(asked);
      const streamed = await anthropic.messages.stream(greedy(asked)).finalMessage();
      for (const message of [whole, streamed]) {
        assert.equal(message.stop_reason, 'tool_use');
        assert.equal(message.content.length, 1);
        const [call] = message.content;
        assert.equal(call.type, 'tool_use');
        assert.equal(call.name, 'get_weather');
        assert.match(call.id, /^toolu_/);
        assert.ok(['celsius', 'fahrenheit'].includes(call.input.unit));
        assert.ok(Number.isInteger(call.input.days));
      }
      assert.deepEqual(streamed.content[0].input, whole.content[0].input);
    });
  }

  it('goes on after the result of a tool', async () => {
    const call = { type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: { unit: 'celsius', days: 1 } };
    const message = await create({
      tools: [WEATHER],
      messages: [
        { role: 'user', content: 'What is the weather in Paris?' },
        { role: 'assistant', content: [{ type: 'thinking', thinking: 'hm', signature: 'x' }, { type: 'text', text: 'I look.' }, call] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: [{ type: 'text', text: '21 degrees' }] }] },
      ],
    });
    assert.ok(message.usage.output_tokens > 0);
  });

  it('gives an answer the form that was asked for', async () => {
    const schema = {
      type: 'object', properties: { author: { type: 'string', maxLength: 40 } }, required: ['author'], additionalProperties: false,
    };
    const message = await create({ max_tokens: 200, output_config: { format: { type: 'json_schema', schema } } });
    assert.equal(typeof JSON.parse(message.content[0].text).author, 'string');
  });

  it('takes what agents send along', async () => {
    const response = await anthropic.beta.messages.create({
      ...greedy(), betas: ['interleaved-thinking-2025-05-14'], metadata: { user_id: 'u' }, thinking: { type: 'disabled' },
      context_management: { edits: [] }, tools: [{ type: 'web_search_20250305', name: 'web_search' }],
    }).asResponse();
    assert.equal(response.status, 200);
    assert.match(response.headers.get('x-mlxd-ignored'), /web_search_20250305/);
  });

  it('lists models page by page', async () => {
    const ids = [];
    for await (const model of anthropic.models.list({ limit: 1 })) {
      assert.equal(model.type, 'model');
      assert.ok(Date.parse(model.created_at) > 0);
      ids.push(model.id);
    }
    assert.ok(ids.includes(MODEL), String(ids));
    const model = await anthropic.models.retrieve(MODEL);
    assert.equal(model.display_name, MODEL);
    assert.ok(model.max_input_tokens > 1000);
  });

  const refused = [
    ['temperature', { temperature: 1.5 }],
    ['max_tokens', { max_tokens: 0 }],
    ['messages', { messages: [] }],
    ['no_such_parameter', { no_such_parameter: 1 }],
    ['tool_choice', { tool_choice: { type: 'any' } }],
    ['prompt is too long', { messages: [{ role: 'user', content: 'word '.repeat(20_000) }] }],
  ];
  for (const [named, extra] of refused) {
    it(`refuses ${JSON.stringify(extra).slice(0, 60)}`, async () => {
      await assert.rejects(create(extra), (error) => {
        assert.ok(error instanceof BadRequestError, String(error));
        assert.equal(error.error.error.type, 'invalid_request_error');
        assert.match(error.error.error.message, new RegExp(named));
        assert.equal(error.requestID, error.error.request_id);
        return true;
      });
    });
  }

  it('says that a model or a route is not there', async () => {
    await assert.rejects(create({ model: 'no-such-model' }), (error) => {
      assert.ok(error instanceof NotFoundError, String(error));
      assert.equal(error.error.error.type, 'not_found_error');
      return true;
    });
    await assert.rejects(anthropic.models.retrieve('no-such-model'), NotFoundError);
    await assert.rejects(anthropic.post('/v1/messages/nothing', { body: {} }), NotFoundError);
  });

  it('stops when the client goes away', async () => {
    const cancelled = async () => (await server.metrics()).get('mlxd_sequences_cancelled_total') ?? 0;
    const before = await cancelled();
    const stream = anthropic.messages.stream(greedy({ max_tokens: 4000, temperature: 1, messages: [{ role: 'user', content: 'Tell a long story.' }] }));
    await new Promise((resolve) => stream.once('text', resolve));
    stream.abort();
    await assert.rejects(stream.done());
    for (let i = 0; i < 1000 && (await cancelled()) === before; i += 1);
    assert.equal(await cancelled(), before + 1);
  });
});

describe('the page about Anthropic\'s API', () => {
  let server;
  before(async () => {
    server = await startServer();
  });
  after(() => server?.stop());

  it('shows a message that names Shakespeare, and how a text is tokenized', async () => {
    const message = JSON.parse(await outputOf('anthropic.md', /v1\/messages/));
    assert.match(message.content[0].text, /William Shakespeare/);
    const { tokens, count, pieces } = JSON.parse(await outputOf('tokens.md', /v1\/tokenize/));
    assert.equal(tokens.length, count);
    assert.equal(pieces.join(''), 'Hello there');
  });

  async function outputOf(page, pattern) {
    const text = await readFile(path.resolve(import.meta.dirname, '../../docs/api', page), 'utf8');
    const example = (text.match(/^curl [^]*?}'$/gm) ?? []).find((each) => pattern.test(each));
    assert.ok(example, `no curl example in ${page} matches ${pattern}`);
    const command = `${example.replaceAll('http://127.0.0.1:10242', server.url)} --silent --show-error --fail --max-time 100`;
    return (await promisify(execFile)('bash', ['-c', command])).stdout;
  }
});
