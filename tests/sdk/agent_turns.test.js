// What coding agents do, in small: requests in the form that Claude Code, Codex and OpenCode send, with tools and
// their results over several turns, answered by models that say what a script tells them in each dialect. Real
// templates, parsers, constraints, engine and HTTP; every stream is held against its API's rules. The agents
// themselves: tests/sdk/agents.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import { zodFunction } from 'openai/helpers/zod';
import { z } from 'zod';
import { DIALECTS } from './scripted/dialects.js';
import { startScripted } from './scripted/server.js';
import { checkChatStream, checkMessageStream, checkResponseStream } from './stream_rules.js';

const TASK = 'Please colour the elephant (task-one).';
const NOTES = 'purple elephant\n\tsecond "line" with \\ and <tag> & 日本語 🐘\nzebra\n';
const READ = { name: 'read_file', input: { path: '/home/me/notes.txt', limit: 200 } };
const SHELL = { name: 'shell', input: { command: ['bash', '-c', 'wc -l < notes.txt && echo "a \\"b\\" $HOME"'], timeout_ms: 10_000, login: false } };
const EDIT = {
  name: 'edit_file',
  input: { path: '/home/me/notes.txt', old_text: 'purple elephant', new_text: 'green elephant\n  if (a < b && c > d) { x = "1"; }\n', all: true, note: null },
};
const LOOK = [{ name: 'shell', input: { command: ['ls'] } }, { name: 'read_file', input: { path: 'b.txt' } }, { name: 'read_file', input: { path: 'b.txt' } }];
const FINAL = 'Done: the elephant is green now. 🐘';
const AGAIN = 'Its colour is green.';

const ANSWERS = [
  { when: 'task-one', thought: 'I have to read it first.', calls: [READ] },
  { when: 'zebra', calls: [SHELL] },
  { when: 'lines: 2', text: 'Now I edit.', calls: [EDIT] },
  { when: 'edited: ok', text: FINAL },
  { when: 'task-two', text: AGAIN },
  { when: 'task-many', calls: LOOK },
  { when: 'task-cut', text: 'I look.', calls: [EDIT] },
];

const path_ = { type: 'string', description: 'An absolute path' };
const SCHEMAS = {
  read_file: {
    type: 'object', properties: { path: path_, offset: { type: 'integer' }, limit: { type: 'integer', minimum: 1 } },
    required: ['path'], additionalProperties: false, $schema: 'http://json-schema.org/draft-07/schema#',
  },
  shell: {
    type: 'object',
    properties: { command: { type: 'array', items: { type: 'string' } }, timeout_ms: { type: 'number' }, login: { type: 'boolean' } },
    required: ['command'], additionalProperties: false,
  },
  edit_file: {
    type: 'object',
    properties: { path: path_, old_text: { type: 'string' }, new_text: { type: 'string' }, all: { type: 'boolean', default: false }, note: { anyOf: [{ type: 'string' }, { type: 'null' }] } },
    required: ['path', 'old_text', 'new_text'], additionalProperties: false,
  },
};
const descriptions = { read_file: 'Reads a file.', shell: 'Runs a command.\n\nUse with care.', edit_file: 'Replaces text in a file.' };
const INSTRUCTIONS = `You are an agent that works in a folder of a user's.\n${'Follow the user\'s wishes, and say what you have done. '.repeat(60)}`;

/** What a tool answers. */
function resultOf(name) {
  if (name === 'read_file') return NOTES;
  return name === 'shell' ? 'lines: 2' : 'edited: ok';
}

/** Posts a request that must succeed, and returns its stream's text. */
async function stream(server, route, body) {
  const response = await fetch(`${server.url}${route}`, {
    method: 'POST', headers: { 'content-type': 'application/json', 'anthropic-version': '2023-06-01' }, body: JSON.stringify(body),
  });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  assert.match(response.headers.get('content-type'), /^text\/event-stream/);
  return text;
}

// An agent of each API: `ask(server, model, history)` sends the history and returns { text, calls, thought, prompt, cached }
// of the answer, which it has appended; `say` and `results` append the user's and the tools' parts.
const AGENTS = {
  // As Claude Code: system blocks with a line that changes each time, cache marks, thinking asked for, results as blocks.
  messages: {
    say: (history, text) => history.push({ role: 'user', content: [{ type: 'text', text, cache_control: { type: 'ephemeral' } }] }),
    results: (history, calls) => history.push({
      role: 'user',
      content: calls.map(({ id, name }) => ({ type: 'tool_result', tool_use_id: id, content: [{ type: 'text', text: resultOf(name) }] })),
    }),
    async ask(server, model, history, extra = {}) {
      AGENTS.messages.count = (AGENTS.messages.count ?? 0) + 1;
      const message = checkMessageStream(await stream(server, '/v1/messages?beta=true', {
        model, stream: true, max_tokens: 32_000, temperature: 1, messages: history, metadata: { user_id: 'user_1_session_2' },
        system: [
          { type: 'text', text: `x-anthropic-billing-header: cc_version=2; cch=${AGENTS.messages.count};` },
          { type: 'text', text: INSTRUCTIONS, cache_control: { type: 'ephemeral' } },
        ],
        thinking: DIALECTS[model.replace('scripted-', '')].thinks ? { type: 'adaptive' } : { type: 'disabled' }, context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
        tools: Object.entries(SCHEMAS).map(([name, input_schema]) => ({ name, description: descriptions[name], input_schema })), ...extra,
      }));
      history.push({ role: 'assistant', content: message.content });
      const of = (type) => message.content.filter((block) => block.type === type);
      return {
        text: of('text').map(({ text }) => text).join(''), thought: of('thinking').map(({ thinking }) => thinking).join(''),
        calls: of('tool_use').map(({ id, name, input }) => ({ id, name, input })), stop: message.stop_reason,
        prompt: message.usage.input_tokens + message.usage.cache_read_input_tokens, cached: message.usage.cache_read_input_tokens,
      };
    },
  },
  // As Codex: instructions apart, everything stateless, tools that only OpenAI has, reasoning to be given back.
  responses: {
    say: (history, text) => history.push({ type: 'message', role: 'user', content: [{ type: 'input_text', text }] }),
    results: (history, calls) => history.push(...calls.map(({ id, name }) => ({ type: 'function_call_output', call_id: id, output: resultOf(name) }))),
    async ask(server, model, history, extra = {}) {
      const response = checkResponseStream(await stream(server, '/v1/responses', {
        model, stream: true, store: false, instructions: INSTRUCTIONS, input: history, tool_choice: 'auto', parallel_tool_calls: true,
        reasoning: { summary: 'auto' }, include: ['reasoning.encrypted_content'], prompt_cache_key: 'a-key', client_metadata: { version: '1' },
        tools: [
          ...Object.entries(SCHEMAS).map(([name, parameters]) => ({ type: 'function', name, description: descriptions[name], strict: false, parameters })),
          { type: 'web_search', external_web_access: false },
        ],
        ...extra,
      }));
      history.push(...response.output.map(({ id, ...item }) => item));
      const of = (type) => response.output.filter((item) => item.type === type);
      return {
        text: of('message').flatMap(({ content }) => content.map(({ text }) => text)).join(''),
        thought: of('reasoning').flatMap(({ summary }) => summary.map(({ text }) => text)).join(''),
        calls: of('function_call').map(({ call_id, name, arguments: written, status }) =>
          ({ id: call_id, name, input: status === 'completed' ? JSON.parse(written) : undefined })),
        stop: response.incomplete_details?.reason ?? response.status,
        prompt: response.usage.input_tokens, cached: response.usage.input_tokens_details.cached_tokens,
      };
    },
  },
  // As OpenCode.
  chat: {
    say: (history, text) => history.push({ role: 'user', content: text }),
    results: (history, calls) => history.push(...calls.map(({ id, name }) => ({ role: 'tool', tool_call_id: id, content: resultOf(name) }))),
    async ask(server, model, history, extra = {}) {
      const said = checkChatStream(await stream(server, '/v1/chat/completions', {
        model, stream: true, stream_options: { include_usage: true }, max_tokens: 32_000, tool_choice: 'auto',
        messages: [{ role: 'system', content: INSTRUCTIONS }, ...history],
        tools: Object.entries(SCHEMAS).map(([name, parameters]) => ({ type: 'function', function: { name, description: descriptions[name], parameters } })),
        ...extra,
      }));
      history.push({
        role: 'assistant', content: said.content, ...(said.reasoning ? { reasoning_content: said.reasoning } : {}),
        ...(said.calls.length > 0
          ? { tool_calls: said.calls.map((call) => ({ id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments } })) } : {}),
      });
      return {
        text: said.content, thought: said.reasoning, calls: said.calls.map(({ id, name, input }) => ({ id, name, input })), stop: said.finish,
        prompt: said.usage.prompt_tokens, cached: said.usage.prompt_tokens_details.cached_tokens,
      };
    },
  },
};

const withoutIds = (calls) => calls.map(({ name, input }) => ({ name, input }));

describe('turns of coding agents', () => {
  const names = Object.keys(DIALECTS);
  let server;
  before(async () => {
    server = await startScripted(names, ANSWERS);
  });
  after(async () => {
    await server?.stop();
  });

  for (const dialect of names) {
    const { thinks, manyCalls } = DIALECTS[dialect];
    const model = `scripted-${dialect}`;
    for (const [api, agent] of Object.entries(AGENTS)) {
      it(`${dialect} over ${api}: reads, runs, edits and answers, each step on the last one's prefix`, async () => {
        const history = [];
        agent.say(history, TASK);
        let before = null;
        const next = async () => {
          const answer = await agent.ask(server, model, history);
          // What the first request computed is there for the next: all but its end, which the answer changes.
          if (before) assert.ok(answer.cached >= 0.7 * before.prompt, `${answer.cached} of ${before.prompt} tokens were cached`);
          before = answer;
          return answer;
        };
        const read = await next();
        assert.deepEqual(withoutIds(read.calls), [READ]);
        assert.equal(read.text, '');
        if (thinks) assert.equal(read.thought, 'I have to read it first.');
        agent.results(history, read.calls);
        const shell = await next();
        assert.deepEqual(withoutIds(shell.calls), [SHELL]);
        agent.results(history, shell.calls);
        const edit = await next();
        assert.deepEqual(withoutIds(edit.calls), [EDIT]);
        assert.ok(['Now I edit.', ''].includes(edit.text), edit.text);
        agent.results(history, edit.calls);
        const final = await next();
        assert.equal(final.text, FINAL);
        assert.deepEqual(final.calls, []);
        agent.say(history, 'And what colour is it now (task-two)?');
        assert.equal((await next()).text, AGAIN);
        const ids = [read, shell, edit].flatMap(({ calls }) => calls.map(({ id }) => id));
        assert.equal(new Set(ids).size, 3);
        assert.deepEqual(server.unanswered(), []);
      });

      if (manyCalls) {
        it(`${dialect} over ${api}: several calls at once, equal ones too`, async () => {
          const history = [];
          agent.say(history, 'Look at both (task-many).');
          const answer = await agent.ask(server, model, history);
          assert.deepEqual(withoutIds(answer.calls), LOOK);
          assert.equal(new Set(answer.calls.map(({ id }) => id)).size, LOOK.length);
        });
      }

      it(`${dialect} over ${api}: a call that the limit cuts off leaves no markup in the text`, async () => {
        const limit = api === 'responses' ? 'max_output_tokens' : 'max_tokens';
        for (let most = 4; most < 60; most += 7) {
          const history = [];
          agent.say(history, 'Colour it (task-cut).');
          const answer = await agent.ask(server, model, history, { [limit]: most });
          assert.ok(['max_tokens', 'max_output_tokens', 'length'].includes(answer.stop), answer.stop);
          // What nothing marks as a call is one once it names a tool.
          const beginning = [`I look.\n`, ...(dialect === 'llama3' ? ['{"name": "edit_file'] : [])];
          assert.ok(beginning.some((text) => text.startsWith(answer.text)), `after ${most} tokens: ${answer.text}`);
          assert.ok(answer.calls.length <= 1);
        }
      });
    }
  }

  it('two strict tools called at once, through the SDK', async () => {
    const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
    const tools = [
      zodFunction({ name: 'shell', description: 'Runs a command', parameters: z.object({ command: z.array(z.string()) }) }),
      zodFunction({ name: 'read_file', description: 'Reads a file', parameters: z.object({ path: z.string() }) }),
    ];
    for (const dialect of names.filter((each) => DIALECTS[each].manyCalls && !DIALECTS[each].otherWhenForced)) {
      const asked = {
        model: `scripted-${dialect}`, tools, tool_choice: 'required', parallel_tool_calls: true, messages: [{ role: 'user', content: 'Look (task-many).' }],
      };
      const whole = await client.chat.completions.parse(asked);
      const streamed = await client.chat.completions.stream({ ...asked, stream: true }).finalChatCompletion();
      for (const { choices: [{ message, finish_reason }] } of [whole, streamed]) {
        assert.equal(finish_reason, 'tool_calls', dialect);
        const calls = message.tool_calls.map(({ function: called }) => ({ name: called.name, input: called.parsed_arguments }));
        assert.deepEqual(calls, LOOK, dialect);
      }
    }
  });
});
