// The request of a conversation as a program would write it, for people to copy.
import type { WireRequest } from './protocol';
import type { Protocol } from './types';

export type SnippetLanguage = 'curl' | 'python' | 'javascript';

/** A JSON value as Python writes it. */
export function pythonLiteral(value: unknown, indent = ''): string {
  const deeper = indent + '    ';
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    return `[\n${value.map((each) => deeper + pythonLiteral(each, deeper)).join(',\n')},\n${indent}]`;
  }
  if (typeof value === 'object') {
    const entries = Object.entries(value);
    if (entries.length === 0) return '{}';
    return `{\n${entries.map(([key, each]) => `${deeper}${JSON.stringify(key)}: ${pythonLiteral(each, deeper)}`).join(',\n')},\n${indent}}`;
  }
  return JSON.stringify(value);
}

interface Client {
  path: string;
  /** Headers of curl beyond the content's type, with the key in its place. */
  headers: (key: string) => string[];
  /** Fields that the SDK knows by name; others go into extra_body. */
  fields: ReadonlySet<string>;
  python: { start: (url: string, key: string) => string[]; call: string; shown: string };
  javascript: { start: (url: string, key: string) => string[]; call: string; shown: string };
}

const quoted = JSON.stringify;

const OPENAI_PYTHON = (url: string, key: string) => ['from openai import OpenAI', '', `client = OpenAI(base_url=${quoted(`${url}/v1`)}, api_key=${quoted(key)})`];
const OPENAI_JAVASCRIPT = (url: string, key: string) => [
  `import OpenAI from 'openai';`,
  '',
  `const client = new OpenAI({ baseURL: ${quoted(`${url}/v1`)}, apiKey: ${quoted(key)} });`,
];
const bearer = (key: string) => [`Authorization: Bearer ${key}`];

const CLIENTS: Record<Protocol, Client> = {
  chat: {
    path: '/v1/chat/completions',
    headers: bearer,
    fields: new Set([
      'model', 'messages', 'temperature', 'top_p', 'seed', 'n', 'stop', 'max_tokens', 'max_completion_tokens', 'presence_penalty',
      'frequency_penalty', 'logit_bias', 'logprobs', 'top_logprobs', 'response_format', 'tools', 'tool_choice', 'reasoning_effort',
    ]),
    python: { start: OPENAI_PYTHON, call: 'client.chat.completions.create', shown: 'answer.choices[0].message.content' },
    javascript: { start: OPENAI_JAVASCRIPT, call: 'client.chat.completions.create', shown: 'answer.choices[0].message.content' },
  },
  responses: {
    path: '/v1/responses',
    headers: bearer,
    fields: new Set([
      'model', 'input', 'instructions', 'temperature', 'top_p', 'max_output_tokens', 'top_logprobs', 'include', 'text', 'reasoning', 'tools',
      'tool_choice', 'store',
    ]),
    python: { start: OPENAI_PYTHON, call: 'client.responses.create', shown: 'answer.output_text' },
    javascript: { start: OPENAI_JAVASCRIPT, call: 'client.responses.create', shown: 'answer.output_text' },
  },
  anthropic: {
    path: '/v1/messages',
    headers: (key) => [`x-api-key: ${key}`, 'anthropic-version: 2023-06-01'],
    fields: new Set(['model', 'messages', 'max_tokens', 'system', 'temperature', 'top_p', 'top_k', 'stop_sequences', 'thinking', 'output_config', 'tools', 'tool_choice']),
    python: {
      start: (url, key) => ['from anthropic import Anthropic', '', `client = Anthropic(base_url=${quoted(url)}, api_key=${quoted(key)})`],
      call: 'client.messages.create',
      shown: `"".join(block.text for block in answer.content if block.type == "text")`,
    },
    javascript: {
      start: (url, key) => [`import Anthropic from '@anthropic-ai/sdk';`, '', `const client = new Anthropic({ baseURL: ${quoted(url)}, apiKey: ${quoted(key)} });`],
      call: 'client.messages.create',
      shown: `answer.content.map((block) => (block.type === 'text' ? block.text : '')).join('')`,
    },
  },
};

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Without streaming, which people would have to read. */
export function snippet(language: SnippetLanguage, protocol: Protocol, request: WireRequest, origin: string, key: string): string {
  const { stream: _stream, stream_options: _options, ...body } = request;
  const client = CLIENTS[protocol];
  if (language === 'curl') {
    const headers = ['Content-Type: application/json', ...client.headers(key)];
    return [
      `curl ${origin}${client.path} \\`,
      ...headers.map((header) => `  -H ${shellQuoted(header)} \\`),
      `  -d ${shellQuoted(JSON.stringify(body, null, 2))}`,
    ].join('\n');
  }
  const { start, call, shown } = client[language];
  if (language === 'javascript')
    return [...start(origin, key), `const answer = await ${call}(${JSON.stringify(body, null, 2)});`, `console.log(${shown});`].join('\n');
  const own = Object.entries(body).filter(([name]) => client.fields.has(name));
  const extra = Object.fromEntries(Object.entries(body).filter(([name]) => !client.fields.has(name)));
  const lines = own.map(([name, value]) => `    ${name}=${pythonLiteral(value, '    ')},`);
  if (Object.keys(extra).length > 0) lines.push(`    extra_body=${pythonLiteral(extra, '    ')},`);
  return [...start(origin, key), `answer = ${call}(`, ...lines, ')', `print(${shown})`].join('\n');
}
