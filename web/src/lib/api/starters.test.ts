import { describe, expect, it } from 'vitest';
import type { Fit, HubDetails, HubModel } from './catalog';
import { candidates, chooseOf, MOST_STARTERS } from './starters';

const found = (id: string, fields: Partial<HubModel> = {}): HubModel => ({
  id, author: '', downloads: 1, likes: 0, last_modified: '', architecture: 'llama', license: '', gated: false,
  storage_bytes: 100, weight_bytes: 100, base_models: [], tags: [], supported: true, ...fields,
});
const shown = (id: string, verdict: Fit['verdict'], total: number, fields: Partial<HubDetails> = {}): HubDetails =>
  ({
    ...found(id), card: null, facts: { chat_template: true },
    fit: { verdict, total_bytes: total, memory_bytes: 1000 }, ...fields,
  }) as HubDetails;

describe('models to begin with', () => {
  it('leave out what does not run, cannot be had, has no size or never fits', () => {
    const list = [found('no', { supported: false }), found('gated', { gated: 'manual' }), found('empty', { weight_bytes: 0 }), found('huge', { weight_bytes: 2000 }), found('yes')];
    expect(candidates(list, 1000).map((each) => each.id)).toEqual(['yes']);
    expect(candidates(list, null).map((each) => each.id)).toEqual(['huge', 'yes']);
    expect(candidates([found('all', { weight_bytes: null, storage_bytes: 500 })], 1000)).toHaveLength(1);
  });

  it('have each base once, and are few', () => {
    expect(candidates([found('a-4bit', { base_models: ['a'] }), found('a-8bit', { base_models: ['a'] }), found('b')], null).map((each) => each.id)).toEqual(['a-4bit', 'b']);
    expect(candidates(Array.from({ length: 30 }, (_, i) => found(`m${i}`)), null)).toHaveLength(MOST_STARTERS);
  });

  it('recommend the first that leaves half of the memory, else the first that fits, else none', () => {
    expect(chooseOf([shown('tight', 'tight', 900), shown('big', 'fits', 700), shown('small', 'fits', 400)]).recommended).toBe('small');
    expect(chooseOf([shown('tight', 'tight', 900), shown('big', 'fits', 700)]).recommended).toBe('big');
    expect(chooseOf([shown('tight', 'tight', 900)]).recommended).toBeNull();
  });

  it('offer nothing that cannot chat or is too large', () => {
    const { models } = chooseOf([shown('base', 'fits', 1, { facts: { chat_template: false } as HubDetails['facts'] }), shown('large', 'too_large', 2000), shown('chat', 'fits', 1)]);
    expect(models.map((each) => each.id)).toEqual(['chat']);
  });
});
