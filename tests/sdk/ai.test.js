// Vercel's AI SDK (npm: ai) with its providers for OpenAI-compatible servers and for Anthropic, against the demo
// model: text, streams, tools that must be called, objects of a zod schema, an aborted stream.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateObject, generateText, stepCountIs, streamObject, streamText, tool } from 'ai';
import { z } from 'zod';
import { MODEL, startServer } from './mlxd.js';

const SHAKESPEARE = 'Who wrote Romeo and Juliet?';
const PROVIDERS = {
  '@ai-sdk/openai-compatible': (url) =>
    createOpenAICompatible({ name: 'mlxd', baseURL: `${url}/v1`, apiKey: 'none', includeUsage: true, supportsStructuredOutputs: true })(MODEL),
  '@ai-sdk/anthropic': (url) => createAnthropic({ baseURL: `${url}/v1`, apiKey: 'none' })(MODEL),
};

for (const [provider, modelAt] of Object.entries(PROVIDERS)) {
  describe(`ai with ${provider}`, () => {
    let server;
    let greedy;
    before(async () => {
      server = await startServer();
      greedy = { model: modelAt(server.url), temperature: 0, maxOutputTokens: 60, maxRetries: 0 };
    });
    after(() => server?.stop());

    it('knows who wrote Romeo and Juliet, and streams the same', async () => {
      const whole = await generateText({ ...greedy, prompt: SHAKESPEARE });
      assert.match(whole.text, /William Shakespeare/);
      assert.ok(['stop', 'length'].includes(whole.finishReason), whole.finishReason);
      const stream = streamText({ ...greedy, prompt: SHAKESPEARE });
      let text = '';
      let pieces = 0;
      for await (const piece of stream.textStream) {
        text += piece;
        pieces += 1;
      }
      assert.equal(text, whole.text);
      assert.ok(pieces > 3, `only ${pieces} pieces`);
      assert.equal(await stream.finishReason, whole.finishReason);
      const usage = await stream.usage;
      assert.equal(usage.outputTokens, whole.usage.outputTokens);
      assert.equal(usage.inputTokens, whole.usage.inputTokens);
      assert.ok(usage.inputTokens > 0);
    });

    const weather = (calls) => tool({
      description: 'The weather of a city',
      inputSchema: z.object({ city: z.enum(['Rome', 'Oslo']), days: z.number().int().min(1).max(5) }).strict(),
      execute: async (input) => {
        calls.push(input);
        return { degrees: 21 };
      },
    });

    for (const toolChoice of ['required', { type: 'tool', toolName: 'weather' }]) {
      it(`calls a tool that must be called (${JSON.stringify(toolChoice)}), and goes on after its result`, async () => {
        const calls = [];
        const result = streamText({
          ...greedy, maxOutputTokens: 200, toolChoice, tools: { weather: weather(calls) }, prompt: 'Is it warm in Rome?',
          // A small model would call for ever.
          providerOptions: { mlxd: { parallel_tool_calls: false }, anthropic: { disableParallelToolUse: true } },
          stopWhen: stepCountIs(2), prepareStep: ({ stepNumber }) => (stepNumber > 0 ? { toolChoice: 'none' } : {}),
        });
        await result.consumeStream({ onError: (error) => { throw error; } });
        const steps = await result.steps;
        assert.equal(steps.length, 2);
        assert.equal(steps[0].finishReason, 'tool-calls');
        assert.ok(calls.length >= 1);
        for (const { city, days } of calls) {
          assert.ok(['Rome', 'Oslo'].includes(city));
          assert.ok(Number.isInteger(days) && days >= 1 && days <= 5);
        }
        assert.equal(steps[0].toolResults.length, calls.length);
        assert.ok(steps[1].text.length > 0);
        assert.equal(steps[1].toolCalls.length, 0);
      });
    }

    const schema = z.object({ author: z.enum(['Shakespeare', 'Goethe']), acts: z.number().int().min(1).max(9) }).strict();

    it('gives an object of a zod schema, streamed or not', async () => {
      const whole = await generateObject({ ...greedy, maxOutputTokens: 200, schema, prompt: SHAKESPEARE });
      assert.deepEqual(schema.parse(whole.object), whole.object);
      const stream = streamObject({ ...greedy, maxOutputTokens: 200, schema, prompt: SHAKESPEARE });
      let parts = 0;
      for await (const part of stream.partialObjectStream) parts += part ? 1 : 0;
      assert.ok(parts > 1, `${parts} parts`);
      assert.deepEqual(await stream.object, whole.object);
    });

    it('stops when the stream is aborted', async () => {
      const name = 'mlxd_sequences_cancelled_total';
      // Earlier answers that a stop string ended are still to be counted, as long as they run.
      let metrics = await server.metrics();
      for (let i = 0; i < 1000 && metrics.get('mlxd_sequences_running') > 0; i += 1) metrics = await server.metrics();
      const before = metrics.get(name) ?? 0;
      const controller = new AbortController();
      const stream = streamText({
        ...greedy, temperature: 1, maxOutputTokens: 4000, prompt: 'Tell a very long story.', abortSignal: controller.signal, onError: () => {},
      });
      let aborted = false;
      for await (const { type } of stream.fullStream) {
        if (type === 'text-delta') controller.abort();
        if (type === 'abort') aborted = true;
      }
      assert.ok(aborted);
      let now = before;
      for (let i = 0; i < 1000 && now === before; i += 1) now = (await server.metrics()).get(name) ?? 0;
      assert.equal(now, before + 1);
    });
  });
}
