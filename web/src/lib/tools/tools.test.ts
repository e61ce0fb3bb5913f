import { describe, expect, it } from 'vitest';
import type { ToolCall } from '$lib/chat/types';
import { newMessage } from '$lib/chat/tree';
import { calculator, currentTime, sampleWeather, timeIn, weatherSample } from './builtin';
import { calculate } from './calculator';
import { REFUSED, roundsOf, runCalls, STOPPED, type Consent } from './calls';
import { ToolError, type Tool } from './types';

describe('the calculator', () => {
  it.each([
    ['1 + 2 * 3', 7],
    ['(1 + 2) * 3', 9],
    ['10 - 4 - 3', 3],
    ['2 ^ 3 ^ 2', 512],
    ['2 ** 10', 1024],
    ['-2 ^ 2', -4],
    ['2 ^ -1', 0.5],
    ['7 % 4', 3],
    ['--3', 3],
    ['.5 + 1e3', 1000.5],
    ['6 × 7 ÷ 2 − 1', 20],
    ['sqrt(16) + max(1, 5, 3)', 9],
    ['Round(PI * 100) / 100', 3.14],
    ['log(1000) + ln(e)', 4],
  ])('computes %s', (expression, value) => {
    expect(calculate(expression)).toBeCloseTo(value, 12);
  });

  it.each([
    ['', 'a number is missing'],
    ['1 +', 'a number is missing'],
    ['(1', '")" is missing'],
    ['1 2', 'is not expected'],
    ['1 / 0', 'division by zero'],
    ['1 / (2 - 2)', 'division by zero'],
    ['sqrt(-1)', 'not a finite number'],
    ['10 ^ 400', 'not a finite number'],
    ['alert(1)', '"alert" is not known'],
    ['constructor', '"constructor" is not known'],
    ['sin(1, 2)', 'takes one value'],
    ['1; 2', 'cannot be read'],
    ['('.repeat(500), 'nested too deeply'],
    ['2^'.repeat(400) + '1', 'nested too deeply'],
    ['1+'.repeat(600) + '1', 'longer than'],
  ])('refuses %s', (expression, why) => {
    expect(() => calculate(expression)).toThrow(why);
    expect(() => calculate(expression)).toThrow(ToolError);
  });

  it('shows decimal numbers as people know them', () => {
    const signal = new AbortController().signal;
    expect(calculator.run({ expression: '0.1 + 0.2' }, signal)).toBe('0.3');
    expect(calculator.run({ expression: '123456789 * 1000' }, signal)).toBe('123456789000');
    expect(() => calculator.run({}, signal)).toThrow('"expression" must be a text');
  });
});

describe('other tools of the page', () => {
  it('tell the time of a place', () => {
    const now = new Date('2026-03-01T23:30:00Z');
    expect(JSON.parse(timeIn('Asia/Tokyo', now))).toEqual({ date: '2026-03-02', time: '08:30:00', weekday: 'Monday', timezone: 'Asia/Tokyo' });
    expect(JSON.parse(timeIn('UTC', now))).toMatchObject({ date: '2026-03-01', time: '23:30:00', weekday: 'Sunday' });
    expect(() => timeIn('Atlantis', now)).toThrow('is not a time zone');
    expect(JSON.parse(String(currentTime.run({}, new AbortController().signal)))).toHaveProperty('weekday');
  });

  it('give weather that says it is a sample, the same each time', () => {
    expect(sampleWeather('Oslo')).toBe(sampleWeather('Oslo'));
    expect(JSON.parse(sampleWeather('Oslo'))).toMatchObject({ sample: true, place: 'Oslo' });
    expect(weatherSample.description).toContain('Not real weather');
  });
});

describe('the calls of an answer', () => {
  const echo: Tool = { name: 'echo', description: '', parameters: {}, run: ({ text }) => `said ${String(text)}` };
  const broken: Tool = { ...echo, name: 'broken', run: () => Promise.reject(new ToolError('no luck')) };
  const call = (name: string, given = '{"text":"a"}'): ToolCall => ({ id: name, name, arguments: given });
  const yes = (): Promise<Consent> => Promise.resolve('once');

  it('run in their order and note what came', async () => {
    const calls = [call('echo'), call('broken'), call('gone'), call('echo', '{"te'), call('echo', '[]'), { ...call('echo'), result: 'kept' }];
    const asked: number[] = [];
    await runCalls(calls, [echo, broken], (_call, index) => (asked.push(index), yes()), new AbortController().signal);
    expect(calls.map(({ result, failed = false }) => [result, failed])).toEqual([
      ['said a', false],
      ['Error: no luck', true],
      ['There is no tool "gone".', true],
      ['Error: the arguments are not JSON', true],
      ['Error: the arguments must be an object', true],
      ['kept', false],
    ]);
    // What cannot run needs no consent.
    expect(asked).toEqual([0, 1]);
  });

  it('are not run when refused', async () => {
    let ran = 0;
    const calls = [call('echo'), call('echo')];
    await runCalls(calls, [{ ...echo, run: () => String(++ran) }], (_call, index) => Promise.resolve(index === 0 ? 'refuse' : 'always'), new AbortController().signal);
    expect(ran).toBe(1);
    expect(calls).toMatchObject([{ result: REFUSED, failed: true }, { result: '1' }]);
  });

  it('have a result also when they were stopped', async () => {
    const controller = new AbortController();
    const calls = [call('echo'), call('echo')];
    const stop = (): Promise<Consent> => (controller.abort(), Promise.resolve('refuse'));
    await runCalls(calls, [echo], stop, controller.signal);
    expect(calls.map((each) => each.result)).toEqual([STOPPED, STOPPED]);
  });

  it('have results of a bounded length', async () => {
    const calls = [call('echo')];
    await runCalls(calls, [{ ...echo, run: () => 'x'.repeat(50_000) }], yes, new AbortController().signal);
    expect(calls[0]!.result!.length).toBeLessThan(20_100);
  });

  it('are counted in rounds since the user’s last words', () => {
    const withCall = () => newMessage('assistant', 'q', { toolCalls: [call('echo')] });
    const user = newMessage('user', null, { text: 'a' });
    expect(roundsOf([])).toBe(0);
    expect(roundsOf([user, withCall(), user])).toBe(0);
    expect(roundsOf([user, withCall(), user, withCall(), withCall()])).toBe(2);
  });
});
