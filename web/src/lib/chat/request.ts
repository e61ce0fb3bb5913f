// The request that a conversation makes, and the same as a program would write it.
import type { ChatMessage, ChatRequest } from '$lib/api/openai';
import { requestParameters } from './parameters';
import type { Attachment, ChatSettings, Message } from './types';

function withAttachments(text: string, attachments: readonly Attachment[]): string {
  const files = attachments.map((file) => `<file name=${JSON.stringify(file.name)}>\n${file.text}\n</file>`);
  return [...files, text].filter((part) => part !== '').join('\n\n');
}

export function requestMessages(path: readonly Message[], settings: ChatSettings): ChatMessage[] {
  const messages: ChatMessage[] = [];
  if (settings.system.trim() !== '') messages.push({ role: 'system', content: settings.system });
  for (const message of path) {
    if (message.role === 'assistant') {
      // An answer that failed before its first word is no turn of the conversation.
      if (message.text === '' && message.toolCalls.length === 0) continue;
      const turn: ChatMessage = { role: 'assistant', content: message.text };
      if (message.toolCalls.length > 0) {
        turn.tool_calls = message.toolCalls.map((call) => ({
          id: call.id,
          type: 'function',
          function: { name: call.name, arguments: call.arguments },
        }));
      }
      messages.push(turn);
      for (const call of message.toolCalls) {
        if (call.result !== undefined) messages.push({ role: 'tool', tool_call_id: call.id, content: call.result });
      }
    } else {
      messages.push({ role: message.role, content: withAttachments(message.text, message.attachments) });
    }
  }
  return messages;
}

export function buildRequest(model: string, path: readonly Message[], settings: ChatSettings): ChatRequest {
  return {
    model,
    messages: requestMessages(path, settings),
    ...requestParameters(settings.parameters),
    stream: true,
    stream_options: { include_usage: true },
  };
}

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

const SDK_FIELDS = new Set([
  'model', 'messages', 'temperature', 'top_p', 'seed', 'n', 'stop', 'max_tokens', 'max_completion_tokens', 'presence_penalty',
  'frequency_penalty', 'logit_bias', 'logprobs', 'top_logprobs', 'response_format', 'tools', 'tool_choice', 'reasoning_effort',
]);

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The request for people to copy: without streaming, which they would have to read. */
export function snippet(language: SnippetLanguage, request: Record<string, unknown>, origin: string, key: string): string {
  const { stream: _stream, stream_options: _options, ...body } = request;
  const url = `${origin}/v1`;
  if (language === 'curl') {
    return [
      `curl ${url}/chat/completions \\`,
      `  -H 'Content-Type: application/json' \\`,
      `  -H ${shellQuoted(`Authorization: Bearer ${key}`)} \\`,
      `  -d ${shellQuoted(JSON.stringify(body, null, 2))}`,
    ].join('\n');
  }
  const own = Object.entries(body).filter(([name]) => SDK_FIELDS.has(name));
  const extra = Object.fromEntries(Object.entries(body).filter(([name]) => !SDK_FIELDS.has(name)));
  const hasExtra = Object.keys(extra).length > 0;
  if (language === 'python') {
    const lines = own.map(([name, value]) => `    ${name}=${pythonLiteral(value, '    ')},`);
    if (hasExtra) lines.push(`    extra_body=${pythonLiteral(extra, '    ')},`);
    return [
      'from openai import OpenAI',
      '',
      `client = OpenAI(base_url=${JSON.stringify(url)}, api_key=${JSON.stringify(key)})`,
      'completion = client.chat.completions.create(',
      ...lines,
      ')',
      'print(completion.choices[0].message.content)',
    ].join('\n');
  }
  return [
    `import OpenAI from 'openai';`,
    '',
    `const client = new OpenAI({ baseURL: ${JSON.stringify(url)}, apiKey: ${JSON.stringify(key)} });`,
    `const completion = await client.chat.completions.create(${JSON.stringify(body, null, 2)});`,
    'console.log(completion.choices[0].message.content);',
  ].join('\n');
}
