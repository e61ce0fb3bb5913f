// The official OpenAI SDK against /v1/responses.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { APIError } from 'openai';
import { zodResponsesFunction, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { MODEL, startServer } from './mlxd.js';

const QUESTION = 'Who wrote Romeo and Juliet?';

describe('responses', () => {
  let server;
  let openai;
  before(async () => {
    server = await startServer();
    openai = server.openai;
  });
  after(() => server?.stop());

  const greedy = (extra = {}) => ({ model: MODEL, input: QUESTION, temperature: 0, max_output_tokens: 40, ...extra });
  const refused = async (promise) => {
    const error = await promise.then(
      () => assert.fail('was not refused'),
      (reason) => reason,
    );
    assert.ok(error instanceof APIError, String(error));
    return error;
  };

  it('says what a chat says, and counts the same', async () => {
    const response = await openai.responses.create(greedy({ instructions: 'Be brief.' }));
    const chat = await openai.chat.completions.create({
      model: MODEL,
      temperature: 0,
      max_tokens: 40,
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: QUESTION },
      ],
    });
    assert.match(response.output_text, /Shakespeare/);
    assert.equal(response.output_text, chat.choices[0].message.content);
    assert.equal(response.usage.input_tokens, chat.usage.prompt_tokens);
    assert.equal(response.usage.output_tokens, chat.usage.completion_tokens);
    assert.equal(response.usage.total_tokens, chat.usage.total_tokens);
    assert.equal(response.object, 'response');
    assert.equal(response.instructions, 'Be brief.');
    assert.equal(response.max_output_tokens, 40);
  });

  it('has every member of the SDK’s type', async () => {
    const response = await openai.responses.create(greedy());
    for (const name of [
      'id', 'created_at', 'error', 'incomplete_details', 'instructions', 'metadata', 'model', 'object', 'output',
      'parallel_tool_calls', 'temperature', 'tool_choice', 'tools', 'top_p', 'background', 'completed_at',
      'max_output_tokens', 'previous_response_id', 'prompt_cache_key', 'reasoning', 'safety_identifier',
      'service_tier', 'status', 'text', 'top_logprobs', 'truncation', 'usage', 'store',
    ]) {
      assert.ok(name in response, name);
    }
    const [item] = response.output;
    assert.deepEqual(Object.keys(item).sort(), ['content', 'id', 'role', 'status', 'type']);
    assert.deepEqual(item.content[0].annotations, []);
  });

  it('streams the response that it gives in one piece', async () => {
    const whole = await openai.responses.create(greedy());
    const stream = openai.responses.stream(greedy());
    const events = [];
    let text = '';
    for await (const event of stream) {
      events.push(event);
      if (event.type === 'response.output_text.delta') {
        text += event.delta;
      }
    }
    const final = await stream.finalResponse();
    assert.equal(text, whole.output_text);
    assert.equal(final.output_text, whole.output_text);
    assert.equal(final.status, whole.status);
    assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
    assert.deepEqual(events.map(({ sequence_number }) => sequence_number), [...events.keys()]);
    assert.equal(events[0].type, 'response.created');
    assert.equal(events.at(-1).type, `response.${final.status}`);
  });

  it('is incomplete at its limit', async () => {
    const response = await openai.responses.create(greedy({ max_output_tokens: 5 }));
    assert.equal(response.status, 'incomplete');
    assert.deepEqual(response.incomplete_details, { reason: 'max_output_tokens' });
    assert.equal(response.usage.output_tokens, 5);
  });

  it('parses a schema of zod', async () => {
    const Verdict = z.object({ sure: z.boolean(), author: z.enum(['Shakespeare', 'Goethe']) });
    const parameters = greedy({ text: { format: zodTextFormat(Verdict, 'verdict') }, max_output_tokens: 200 });
    const response = await openai.responses.parse(parameters);
    assert.equal(typeof response.output_parsed.sure, 'boolean');
    const streamed = await openai.responses.stream(parameters).finalResponse();
    assert.deepEqual(streamed.output_parsed, response.output_parsed);
  });

  const Weather = zodResponsesFunction({
    name: 'weather',
    description: 'The weather of a city',
    parameters: z.object({ unit: z.enum(['C', 'F']) }),
  });

  it('calls a function of zod that it has to call, streamed and not', async () => {
    const parameters = greedy({
      input: 'Is it warm?',
      tools: [Weather],
      tool_choice: { type: 'function', name: 'weather' },
      max_output_tokens: 200,
    });
    const response = await openai.responses.parse(parameters);
    const [call] = response.output;
    assert.equal(call.type, 'function_call');
    assert.ok(['C', 'F'].includes(call.parsed_arguments.unit));

    const stream = openai.responses.stream(parameters);
    let pieces = '';
    stream.on('response.function_call_arguments.delta', (event) => (pieces += event.delta));
    const final = await stream.finalResponse();
    assert.equal(pieces, call.arguments);
    assert.equal(final.output[0].arguments, call.arguments);

    // The result goes back by the response's id, and by hand.
    const result = { type: 'function_call_output', call_id: call.call_id, output: '20 degrees' };
    const answer = await openai.responses.create(
      greedy({ previous_response_id: response.id, input: [result], tools: [Weather] }),
    );
    const byHand = await openai.responses.create(
      greedy({ input: [{ role: 'user', content: 'Is it warm?' }, call, result], tools: [Weather] }),
    );
    assert.equal(answer.output_text, byHand.output_text);
    assert.equal(answer.usage.input_tokens, byHand.usage.input_tokens);
  });

  it('gives a custom tool text of its grammar', async () => {
    const response = await openai.responses.create(
      greedy({
        input: 'Dial a number.',
        tools: [{ type: 'custom', name: 'dial', format: { type: 'grammar', syntax: 'regex', definition: '[0-9]{3,5}' } }],
        tool_choice: { type: 'custom', name: 'dial' },
      }),
    );
    assert.equal(response.output[0].type, 'custom_tool_call');
    assert.match(response.output[0].input, /^[0-9]{3,5}$/);
  });

  it('leaves built-in tools out and says so', async () => {
    const { data, response } = await openai.responses
      .create(greedy({ tools: [{ type: 'web_search' }], max_output_tokens: 5 }))
      .withResponse();
    assert.equal(response.headers.get('x-mlxd-ignored'), 'tools[0] (web_search)');
    assert.deepEqual(data.tools, []);
    const error = await refused(
      openai.responses.create(greedy({ tools: [{ type: 'web_search' }], tool_choice: { type: 'web_search' } })),
    );
    assert.equal(error.status, 400);
    assert.equal(error.param, 'tool_choice');
  });

  it('remembers, lists and forgets', async () => {
    const first = await openai.responses.create(greedy({ metadata: { topic: 'plays' } }));
    const second = await openai.responses.create(greedy({ previous_response_id: first.id, input: 'And Hamlet?' }));
    assert.equal(second.previous_response_id, first.id);
    const byHand = await openai.responses.create(
      greedy({ input: [{ role: 'user', content: QUESTION }, ...first.output, { role: 'user', content: 'And Hamlet?' }] }),
    );
    assert.equal(second.output_text, byHand.output_text);

    const found = await openai.responses.retrieve(first.id);
    assert.deepEqual(found.metadata, { topic: 'plays' });
    assert.equal(found.output_text, first.output_text);
    const items = [];
    for await (const item of openai.responses.inputItems.list(second.id)) {
      items.push(item);
    }
    assert.deepEqual(items.map(({ content }) => content[0].text), ['And Hamlet?']);

    const cancelled = await refused(openai.responses.cancel(first.id));
    assert.equal(cancelled.status, 400);
    await openai.responses.delete(first.id);
    assert.equal((await refused(openai.responses.retrieve(first.id))).status, 404);
    const broken = await refused(openai.responses.create(greedy({ previous_response_id: second.id })));
    assert.equal(broken.status, 400);
    assert.equal(broken.param, 'previous_response_id');

    const unkept = await openai.responses.create(greedy({ store: false, max_output_tokens: 2 }));
    assert.equal((await refused(openai.responses.retrieve(unkept.id))).status, 404);
  });

  it('reports log-probabilities of the tokens that make the text', async () => {
    const parameters = greedy({ include: ['message.output_text.logprobs'], top_logprobs: 2, max_output_tokens: 8 });
    const response = await openai.responses.create(parameters);
    const { text, logprobs } = response.output[0].content[0];
    assert.equal(Buffer.from(logprobs.flatMap(({ bytes }) => bytes)).toString('utf8'), text);
    assert.ok(logprobs.every(({ logprob, top_logprobs }) => logprob <= 0 && top_logprobs.length === 2));
    const final = await openai.responses.stream(parameters).finalResponse();
    assert.deepEqual(final.output[0].content[0].logprobs, logprobs);
  });

  it('stops when its reader leaves', async () => {
    const stream = await openai.responses.create(greedy({ max_output_tokens: 2000, stream: true, temperature: 1 }));
    for await (const event of stream) {
      if (event.type === 'response.output_text.delta') {
        break;
      }
    }
    const until = Date.now() + 20_000;
    for (;;) {
      const running = (await server.metrics()).get('mlxd_sequences_running');
      assert.ok(running !== undefined);
      if (running === 0) {
        break;
      }
      assert.ok(Date.now() < until, 'still generating');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });

  it('names what it does not take', async () => {
    for (const [extra, param] of [
      [{ background: true }, 'background'],
      [{ max_tokens: 5 }, 'max_tokens'],
      [{ temperature: 3 }, 'temperature'],
      [{ input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'data:image/png;base64,' }] }] },
        'input[0].content[0].type'],
    ]) {
      const error = await refused(openai.responses.create(greedy(extra)));
      assert.equal(error.status, 400);
      assert.equal(error.param, param);
    }
  });
});
