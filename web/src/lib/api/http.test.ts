import { describe, expect, it } from 'vitest';
import { errorOf, pathOf } from './http';

describe('errors of every dialect', () => {
  it.each([
    ['OpenAI', '{"error":{"message":"top_p is 3","type":"x","param":"top_p","code":null}}', 'top_p is 3', 'top_p'],
    ['a problem', '{"title":"Not Found","detail":"there is no model x","status":404,"field":"model"}', 'there is no model x', 'model'],
    ['a problem with a title only', '{"title":"Not Found","status":404}', 'Not Found', null],
    ['Ollama', '{"error":"no such model"}', 'no such model', null],
    ['plain text', 'gateway broke', 'gateway broke', null],
    ['nothing', '', 'the server answered 502', null],
    ['odd JSON', '{"error":{"message":7}}', '{"error":{"message":7}}', null],
  ])('of %s', (_, text, message, field) => {
    const error = errorOf(502, text, '3');
    expect(error.message).toBe(message);
    expect(error.field).toBe(field);
    expect(error.retryAfterSeconds).toBe(3);
  });

  it('have no time where the server gave a date or none', () => {
    expect(errorOf(503, '', 'Wed, 21 Oct 2026 07:28:00 GMT').retryAfterSeconds).toBeNull();
    expect(errorOf(503, '').retryAfterSeconds).toBeNull();
  });
});

it('keeps the slashes of ids in paths and nothing else', () => {
  expect(pathOf('org/name?x#y')).toBe('org/name%3Fx%23y');
});
