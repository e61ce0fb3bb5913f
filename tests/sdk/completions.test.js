// The official OpenAI SDK against /v1/completions.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { collect, MODEL, MODEL_FOLDER, startServer } from './mlxd.js';

const FRANCE = 'The capital of France is';

describe('completions', () => {
  let server;
  let openai;
  let paris; // the token id of " Paris"
  before(async () => {
    server = await startServer();
    openai = server.openai;
    const tokenizer = JSON.parse(await readFile(path.join(MODEL_FOLDER, 'tokenizer.json'), 'utf8'));
    paris = tokenizer.model.vocab['\u0120Paris'];
    assert.ok(Number.isInteger(paris));
  });
  after(() => server?.stop());

  const greedy = (extra = {}) => ({ model: MODEL, prompt: FRANCE, temperature: 0, max_tokens: 12, ...extra });

  it('knows the capital of France', async () => {
    const completion = await openai.completions.create(greedy());
    assert.equal(completion.object, 'text_completion');
    assert.ok(completion.choices[0].text.startsWith(' Paris'), completion.choices[0].text);
  });

  it('streams the text that it gives in one piece', async () => {
    const whole = await openai.completions.create(greedy());
    const streamed = await collect(
      await openai.completions.create(greedy({ stream: true, stream_options: { include_usage: true } })),
    );
    assert.deepEqual(streamed.texts, [whole.choices[0].text]);
    assert.deepEqual(streamed.usage.completion_tokens, whole.usage.completion_tokens);
  });

  it('answers several prompts as it answers each', async () => {
    const prompts = [FRANCE, 'Water boils at', 'Two plus two'];
    const together = await openai.completions.create(greedy({ prompt: prompts }));
    assert.deepEqual(together.choices.map(({ index }) => index), [0, 1, 2]);
    for (const [index, prompt] of prompts.entries()) {
      const alone = await openai.completions.create(greedy({ prompt }));
      assert.equal(together.choices[index].text, alone.choices[0].text);
    }
  });

  it('never says a token with a bias of -100, and nothing else than one with 100', async () => {
    const without = await openai.completions.create(greedy({ logit_bias: { [paris]: -100 } }));
    assert.doesNotMatch(without.choices[0].text, / Paris/);
    const only = await openai.completions.create(greedy({ logit_bias: { [paris]: 100 }, max_tokens: 3 }));
    assert.equal(only.choices[0].text, ' Paris Paris Paris');
  });

  it('reports log-probabilities in the old form', async () => {
    const [choice] = (await openai.completions.create(greedy({ logprobs: 2, max_tokens: 4 }))).choices;
    const { tokens, token_logprobs, top_logprobs, text_offset } = choice.logprobs;
    assert.equal(tokens.join(''), choice.text);
    assert.equal(tokens.length, 4);
    assert.ok(token_logprobs.every((value) => value <= 0));
    assert.equal(top_logprobs.length, 4);
    assert.ok(tokens[0] in top_logprobs[0]);
    for (let k = 1; k < 4; k++) {
      assert.equal(text_offset[k] - text_offset[k - 1], tokens[k - 1].length);
    }
  });

  it('takes token ids for a prompt', async () => {
    const fromIds = await openai.completions.create(greedy({ prompt: [paris], max_tokens: 8 }));
    const fromText = await openai.completions.create(greedy({ prompt: ' Paris', max_tokens: 8 }));
    assert.equal(fromIds.usage.prompt_tokens, 1);
    assert.equal(fromIds.choices[0].text, fromText.choices[0].text);
  });

  it('gives back the prompt alone', async () => {
    const completion = await openai.completions.create(greedy({ prompt: [FRANCE, 'Two'], echo: true, max_tokens: 0 }));
    assert.deepEqual(completion.choices.map(({ text }) => text), [FRANCE, 'Two']);
    assert.equal(completion.usage.completion_tokens, 0);
    assert.ok(completion.usage.prompt_tokens > 5);
    const streamed = await collect(
      await openai.completions.create(greedy({ echo: true, max_tokens: 0, stream: true })),
    );
    assert.deepEqual(streamed.texts, [FRANCE]);
    assert.deepEqual(streamed.finishReasons, ['length']);
  });

  // As evaluation harnesses ask: several prompts as token ids, of which an end is rated.
  it('scores what it is given as what it says itself', async () => {
    const said = (await openai.completions.create(greedy({ logprobs: 1 }))).choices[0];
    const text = FRANCE + said.text;
    const scored = (await openai.completions.create(greedy({ prompt: text, echo: true, logprobs: 1, max_tokens: 0 }))).choices[0];
    assert.equal(scored.text, text);
    assert.equal(scored.finish_reason, 'length');
    const { tokens, token_logprobs, top_logprobs, text_offset } = scored.logprobs;
    assert.equal(tokens.join(''), text);
    assert.equal(token_logprobs[0], null);
    assert.equal(top_logprobs[0], null);
    const begin = tokens.length - said.logprobs.tokens.length;
    assert.deepEqual(tokens.slice(begin), said.logprobs.tokens);
    assert.deepEqual(token_logprobs.slice(begin), said.logprobs.token_logprobs);
    assert.deepEqual(top_logprobs.slice(begin), said.logprobs.top_logprobs);
    for (const [k, token] of tokens.entries()) assert.equal(text.slice(text_offset[k], text_offset[k] + token.length), token);

    const ids = (await server.openai.post('/tokenize', { body: { model: MODEL, text } })).tokens;
    assert.equal(ids.length, tokens.length);
    const unlikely = [...ids.slice(0, -1), paris];
    const rated = await openai.completions.create(
      greedy({ prompt: [ids, unlikely], echo: true, logprobs: 1, max_tokens: 1, seed: 1234 }),
    );
    const [own, other] = rated.choices.map(({ logprobs }) => {
      const values = logprobs.token_logprobs.slice(begin, -1);
      const isGreedy = logprobs.top_logprobs
        .slice(begin, -1)
        .every((top, k) => Math.max(...Object.values(top)) === values[k]);
      return { sum: values.reduce((sum, value) => sum + value), isGreedy, length: logprobs.tokens.length };
    });
    assert.deepEqual(own, { sum: said.logprobs.token_logprobs.reduce((a, b) => a + b), isGreedy: true, length: ids.length + 1 });
    assert.equal(other.isGreedy, false);
    assert.ok(other.sum < own.sum - 1, `${other.sum} ${own.sum}`);
    assert.equal(rated.usage.completion_tokens, 2);
    assert.equal(rated.usage.prompt_tokens_details.cached_tokens, 0);

    const lists = { tokens: [], token_logprobs: [] };
    for await (const chunk of await openai.completions.create(greedy({ echo: true, logprobs: 1, stream: true }))) {
      for (const name of Object.keys(lists)) lists[name].push(...(chunk.choices[0]?.logprobs?.[name] ?? []));
    }
    assert.deepEqual(lists.tokens, tokens);
    assert.deepEqual(lists.token_logprobs, token_logprobs);
  });

  it('says that the model cannot fill in a middle, and takes best_of as n', async () => {
    await assert.rejects(openai.completions.create(greedy({ suffix: ', I think.' })), { status: 400, param: 'suffix' });
    const two = await openai.completions.create(greedy({ n: 2, best_of: 2, max_tokens: 2 }));
    assert.equal(two.choices.length, 2);
    await assert.rejects(openai.completions.create(greedy({ best_of: 3 })), { status: 400, param: 'best_of' });
  });
});
