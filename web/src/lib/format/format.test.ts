import { describe, expect, it } from 'vitest';
import * as format from './format';

describe('numbers as people write them', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1500, '2 KB'],
    [999_499, '999 KB'],
    [999_500, '1.0 MB'],
    [1_340_000_000, '1.3 GB'],
    [137_438_953_472, '137 GB'],
  ])('%d bytes', (value, text) => expect(format.bytes(value, 'en')).toBe(text));

  it('follow the language', () => {
    expect(format.bytes(1_340_000_000, 'de')).toBe('1,3 GB');
    expect(format.number(1234567.891, 'de', 2)).toBe('1.234.567,89');
  });

  it.each([
    [134_515_008, '135 M'],
    [8_190_000_000, '8.2 B'],
    [671e9, '671 B'],
    [999_600_000, '1 B'],
  ])('%d parameters', (value, text) => expect(format.parameters(value, 'en')).toBe(text));

  it.each([
    [8192, '8K'],
    [131072, '128K'],
    [1 << 20, '1M'],
    [5000, '5,000'],
  ])('%d tokens of context', (value, text) => expect(format.contextLength(value, 'en')).toBe(text));

  it.each([
    [850, '850 ms'],
    [3210, '3.2 s'],
    [9960, '10 s'],
    [59_600, '1 min'],
    [125_000, '2 min 5 s'],
    [11_520_000, '3 h 12 min'],
    [260_000_000, '3 d 0 h'],
  ])('%d ms', (value, text) => expect(format.duration(value, 'en')).toBe(text));

  it('tell how long ago', () => {
    const now = Date.UTC(2026, 0, 15, 12);
    expect(format.ago(now - 3 * 60_000, now, 'en')).toBe('3 minutes ago');
    expect(format.ago(now - 86_400_000, now, 'en')).toBe('yesterday');
    expect(format.ago(now - 400 * 86_400_000, now, 'de')).toMatch(/Jahr/);
    expect(format.ago(now + 7_200_000, now, 'en')).toBe('in 2 hours');
  });
});
