import { describe, expect, it } from 'vitest';
import { pythonLiteral, snippet, type SnippetLanguage } from './snippets';
import type { Protocol } from './types';

describe('snippets', () => {
  const request = { model: 'm', messages: [{ role: 'user', content: "it's \"quoted\"\n$HOME" }], top_k: 5, temperature: 0.5, stream: true };

  it('quote for the shell', () => {
    const text = snippet('curl', 'chat', request, 'http://127.0.0.1:1', 'key');
    expect(text).toContain(`it'\\''s`);
    expect(text).not.toContain('stream');
  });

  it('put what the SDK does not know into extra_body', () => {
    const text = snippet('python', 'chat', request, 'http://127.0.0.1:1', 'key');
    expect(text).toContain('temperature=0.5');
    expect(text).toMatch(/extra_body=\{\n\s+"top_k": 5,\n/);
  });

  it('speak each protocol', () => {
    const of = (protocol: Protocol, language: SnippetLanguage) => snippet(language, protocol, { model: 'm', top_p: 1, min_p: 0.1 }, 'http://h:1', 'k');
    expect(of('responses', 'curl')).toContain("curl http://h:1/v1/responses");
    expect(of('responses', 'python')).toContain('client.responses.create(');
    expect(of('anthropic', 'curl')).toMatch(/\/v1\/messages[\s\S]*x-api-key: k[\s\S]*anthropic-version: 2023-06-01/);
    expect(of('anthropic', 'python')).toMatch(/base_url="http:\/\/h:1"[\s\S]*top_p=1[\s\S]*extra_body=\{\n\s+"min_p": 0.1/);
    expect(of('anthropic', 'javascript')).toContain('client.messages.create(');
  });

  it('write Python’s literals', () => {
    expect(pythonLiteral({ a: [true, null, 'x'], b: {} })).toBe('{\n    "a": [\n        True,\n        None,\n        "x",\n    ],\n    "b": {},\n}');
  });
});
