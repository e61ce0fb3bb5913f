import { describe, expect, it } from 'vitest';
import type { ChatChunk } from '$lib/api/openai';
import { applyChunk, canGoOn, emptyStats, endAnswer, joinStats, tokensPerSecond } from './answer';
import { newMessage } from './tree';

const answer = () => newMessage('assistant', 'q');
const delta = (fields: object, index = 0, finish: string | null = null): ChatChunk => ({ choices: [{ index, delta: fields, finish_reason: finish }] });

describe('an answer from its chunks', () => {
  it('joins text and keeps the time of its first piece', () => {
    const message = answer();
    applyChunk([message], delta({ role: 'assistant', content: '' }), 5);
    expect(message.stats?.firstTokenMs).toBeNull();
    applyChunk([message], delta({ content: 'Hel' }), 40);
    applyChunk([message], delta({ content: 'lo' }), 50);
    applyChunk([message], delta({}, 0, 'stop'), 60);
    expect(message.text).toBe('Hello');
    expect(message.stats).toMatchObject({ firstTokenMs: 40, totalMs: 60 });
    expect(message.finish).toBe('stop');
  });

  it('measures reasoning until the first text', () => {
    const message = answer();
    applyChunk([message], delta({ reasoning_content: 'let me ' }), 100);
    applyChunk([message], delta({ reasoning_content: 'see' }), 300);
    expect(message.reasoningMs).toBeNull();
    applyChunk([message], delta({ content: '4' }), 700);
    applyChunk([message], delta({ content: '2' }), 900);
    expect(message).toMatchObject({ reasoning: 'let me see', reasoningMs: 600, text: '42' });
  });

  it('takes reasoning by either name, once', () => {
    const message = answer();
    applyChunk([message], delta({ reasoning: 'a' }), 1);
    applyChunk([message], delta({ reasoning_content: 'b', reasoning: 'b' }), 2);
    expect(message.reasoning).toBe('ab');
  });

  it('puts together several tool calls whose arguments come in pieces', () => {
    const message = answer();
    applyChunk([message], delta({ tool_calls: [{ index: 0, id: 'x', function: { name: 'add', arguments: '' } }] }), 1);
    applyChunk([message], delta({ tool_calls: [{ index: 0, function: { arguments: '{"a":' } }] }), 2);
    applyChunk([message], delta({ tool_calls: [{ index: 1, id: 'y', function: { name: 'add', arguments: '{}' } }] }), 3);
    applyChunk([message], delta({ tool_calls: [{ index: 0, function: { arguments: '1}' } }] }), 4);
    expect(message.toolCalls).toEqual([
      { id: 'x', name: 'add', arguments: '{"a":1}' },
      { id: 'y', name: 'add', arguments: '{}' },
    ]);
  });

  it('keeps choices apart and ignores those nobody asked for', () => {
    const [one, two] = [answer(), answer()];
    applyChunk([one, two], delta({ content: 'b' }, 1), 1);
    applyChunk([one, two], delta({ content: 'a' }, 0), 2);
    applyChunk([one, two], delta({ content: 'z' }, 7), 3);
    expect([one.text, two.text]).toEqual(['a', 'b']);
  });

  it('tells the count of tokens only of a single choice', () => {
    const usage = { prompt_tokens: 10, completion_tokens: 21, prompt_tokens_details: { cached_tokens: 4 } };
    const one = answer();
    applyChunk([one], { choices: [], usage }, 1);
    expect(one.stats).toMatchObject({ promptTokens: 10, completionTokens: 21, cachedTokens: 4 });
    const two = [answer(), answer()];
    applyChunk(two, { choices: [], usage }, 1);
    expect(two[0]?.stats?.completionTokens).toBeNull();
  });

  it('keeps its first end', () => {
    const message = answer();
    endAnswer(message, 'length', 10);
    endAnswer(message, 'failed', 20, 'late');
    expect(message).toMatchObject({ finish: 'length', error: null });
  });

  it('counts speed from the second token on', () => {
    expect(tokensPerSecond({ ...emptyStats(), firstTokenMs: 1000, totalMs: 3000, completionTokens: 101 })).toBe(50);
    expect(tokensPerSecond({ ...emptyStats(), firstTokenMs: 1000, totalMs: 1000, completionTokens: 1 })).toBeNull();
    expect(tokensPerSecond(emptyStats())).toBeNull();
  });

  it('can go on where it was cut in its text', () => {
    const cut = newMessage('assistant', 'q', { text: 'One, two', finish: 'length' });
    const settings = { system: '', parameters: {} };
    expect(canGoOn(cut, settings)).toBe(true);
    expect(canGoOn({ ...cut, finish: 'stopped' }, settings)).toBe(true);
    expect(canGoOn({ ...cut, finish: 'stop' }, settings)).toBe(false);
    expect(canGoOn({ ...cut, finish: null }, settings)).toBe(false);
    expect(canGoOn({ ...cut, text: '' }, settings)).toBe(false);
    expect(canGoOn({ ...cut, reasoning: 'hm' }, settings)).toBe(false);
    expect(canGoOn({ ...cut, toolCalls: [{ id: 'x', name: 'add', arguments: '{' }] }, settings)).toBe(false);
    expect(canGoOn(cut, { system: '', parameters: { response_format: { type: 'json_object' } } })).toBe(false);
  });

  it('adds up the parts of one that was gone on with', () => {
    const before = { ...emptyStats(), firstTokenMs: 100, totalMs: 1100, promptTokens: 20, completionTokens: 51, cachedTokens: 5 };
    const after = { ...emptyStats(), firstTokenMs: 300, totalMs: 1300, promptTokens: 71, completionTokens: 50, cachedTokens: 64 };
    const both = joinStats(before, after);
    expect(both).toMatchObject({ firstTokenMs: 100, totalMs: 2100, promptTokens: 20, completionTokens: 101, cachedTokens: 5 });
    expect(tokensPerSecond(both)).toBe(50);
    // One that was stopped has no count.
    expect(joinStats({ ...before, completionTokens: null }, after).completionTokens).toBeNull();
  });
});
