// What the official OpenAI SDK makes of refusals: its own typed errors, with the offending parameter named.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { BadRequestError, NotFoundError } from 'openai';
import { MODEL, startServer } from './mlxd.js';

describe('errors', () => {
  let server;
  let openai;
  before(async () => {
    server = await startServer();
    openai = server.openai;
  });
  after(() => server?.stop());

  const chat = (extra) => openai.chat.completions.create({
    model: MODEL, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 4, ...extra,
  });

  it('says that a model is not found', async () => {
    await assert.rejects(chat({ model: 'no-such-model' }), (error) => {
      assert.ok(error instanceof NotFoundError, String(error));
      assert.equal(error.status, 404);
      assert.match(error.message, /no-such-model/);
      return true;
    });
    await assert.rejects(openai.models.retrieve('no-such-model'), NotFoundError);
  });

  const refused = [
    ['temperature', { temperature: 5 }],
    ['top_p', { top_p: 1.5 }],
    ['max_tokens', { max_tokens: -1 }],
    ['n', { n: 0 }],
    ['top_logprobs', { logprobs: true, top_logprobs: 21 }],
    ['presence_penalty', { presence_penalty: 3 }],
    ['messages', { messages: [] }],
    ['no_such_parameter', { no_such_parameter: 1 }],
    ['temperature', { temperature: 'hot' }],
  ];
  for (const [parameter, extra] of refused) {
    it(`names the parameter in ${JSON.stringify(extra)}`, async () => {
      await assert.rejects(chat(extra), (error) => {
        assert.ok(error instanceof BadRequestError, String(error));
        assert.equal(error.type, 'invalid_request_error');
        assert.equal(error.param, parameter);
        assert.match(error.message, new RegExp(parameter));
        return true;
      });
    });
  }

  it('refuses a prompt that does not fit the context, with both numbers', async () => {
    const content = 'word '.repeat(20_000);
    await assert.rejects(chat({ messages: [{ role: 'user', content }] }), (error) => {
      assert.ok(error instanceof BadRequestError, String(error));
      assert.match(error.message, /\d{5}[^]*\d{4}|\d{4}[^]*\d{5}/);
      return true;
    });
  });

  it('answers an unknown route in the same envelope', async () => {
    await assert.rejects(openai.get('/no/such/route'), (error) => {
      assert.ok(error instanceof NotFoundError, String(error));
      assert.ok(error.error.message);
      return true;
    });
  });

  it('still answers afterwards', async () => {
    const completion = await chat({ temperature: 0 });
    assert.equal(completion.usage.completion_tokens > 0, true);
  });
});
