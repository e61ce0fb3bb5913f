// The rules of each API's streams, as the APIs' documentation has them: a stream that breaks one fails an
// assertion. Each check takes the stream's whole text and returns what it said.
import assert from 'node:assert/strict';

/** The events of a text/event-stream: `{ event, data }`; comments are left out. */
export function parseEvents(text) {
  assert.ok(text.endsWith('\n\n'), `the stream is cut in an event: …${text.slice(-80)}`);
  const events = [];
  for (const block of text.slice(0, -2).split('\n\n')) {
    const fields = { event: undefined, data: undefined };
    for (const line of block.split('\n')) {
      if (line.startsWith(':')) continue;
      const match = /^(event|data): (.*)$/.exec(line);
      assert.ok(match, `no field of an event: ${line}`);
      assert.equal(fields[match[1]], undefined, `two ${match[1]} lines in one event: ${block}`);
      fields[match[1]] = match[2];
    }
    if (fields.data !== undefined) events.push(fields);
    else assert.equal(fields.event, undefined, `an event without data: ${block}`);
  }
  return events;
}

/** A named event's data, whose type is its name. */
function namedData({ event, data }) {
  const value = JSON.parse(data);
  assert.equal(value.type, event, `event ${event} has data of type ${value.type}`);
  return value;
}

/** `/v1/messages`: the message, with each tool_use block's input parsed. */
export function checkMessageStream(text) {
  const events = parseEvents(text).map(namedData);
  const deltaTypes = {
    text: ['text_delta'], thinking: ['thinking_delta', 'signature_delta'], tool_use: ['input_json_delta'],
  };
  assert.equal(events[0]?.type, 'message_start');
  const { message } = events[0];
  assert.deepEqual(message.content, []);
  assert.equal(message.role, 'assistant');
  assert.equal(message.stop_reason, null);
  assert.ok(Number.isInteger(message.usage.input_tokens));
  assert.equal(events.at(-1).type, 'message_stop');
  const blocks = [];
  let open = null;
  let json = '';
  let stopped = false;
  for (const event of events.slice(1, -1)) {
    if (event.type === 'ping') continue;
    assert.ok(!stopped, `${event.type} after message_delta`);
    switch (event.type) {
      case 'content_block_start':
        assert.equal(open, null, 'a block begins within another');
        assert.equal(event.index, blocks.length);
        open = { ...event.content_block };
        assert.ok(open.type in deltaTypes, open.type);
        if (open.type === 'tool_use') {
          assert.match(open.id, /^[a-zA-Z0-9_-]+$/);
          assert.ok(open.name);
          assert.deepEqual(open.input, {});
        }
        json = '';
        break;
      case 'content_block_delta': {
        assert.ok(open, 'a delta of no block');
        assert.equal(event.index, blocks.length);
        const { type, ...rest } = event.delta;
        assert.ok(deltaTypes[open.type].includes(type), `${type} in a block of ${open.type}`);
        if (type === 'text_delta') open.text += rest.text;
        if (type === 'thinking_delta') open.thinking += rest.thinking;
        if (type === 'signature_delta') open.signature = rest.signature;
        if (type === 'input_json_delta') json += rest.partial_json;
        break;
      }
      case 'content_block_stop':
        assert.ok(open, 'an end of no block');
        assert.equal(event.index, blocks.length);
        if (open.type === 'tool_use') open.input = JSON.parse(json || '{}');
        if (open.type === 'thinking') assert.ok(open.signature, 'thinking without a signature');
        blocks.push(open);
        open = null;
        break;
      case 'message_delta':
        assert.equal(open, null, 'the message ends within a block');
        assert.ok(event.delta.stop_reason);
        assert.ok(Number.isInteger(event.usage.output_tokens));
        Object.assign(message, { stop_reason: event.delta.stop_reason, stop_sequence: event.delta.stop_sequence });
        Object.assign(message.usage, event.usage);
        stopped = true;
        break;
      default:
        assert.fail(`event ${event.type}`);
    }
  }
  assert.ok(stopped, 'no message_delta');
  message.content = blocks;
  if (message.stop_reason !== 'max_tokens') {
    const calls = blocks.some(({ type }) => type === 'tool_use');
    assert.equal(message.stop_reason === 'tool_use', calls, `${message.stop_reason}, and ${calls ? 'calls' : 'no call'}`);
  }
  return message;
}

/** `/v1/chat/completions`: `{ content, reasoning, calls, finish, usage }` of choice 0. */
export function checkChatStream(text) {
  const events = parseEvents(text);
  assert.equal(events.at(-1)?.data, '[DONE]');
  const chunks = events.slice(0, -1).map(({ event, data }) => {
    assert.equal(event, undefined);
    return JSON.parse(data);
  });
  const said = { content: '', reasoning: '', calls: [], finish: null, usage: null };
  for (const [index, chunk] of chunks.entries()) {
    assert.equal(chunk.error, undefined, JSON.stringify(chunk.error));
    assert.equal(chunk.object, 'chat.completion.chunk');
    assert.equal(chunk.id, chunks[0].id);
    if (chunk.choices.length === 0) {
      assert.equal(index, chunks.length - 1, 'only the last chunk may be without choices');
      said.usage = chunk.usage;
      continue;
    }
    const [{ delta, finish_reason }] = chunk.choices;
    assert.equal(said.finish, null, 'a chunk after the reason');
    assert.equal('role' in delta, index === 0, 'the role comes first, and once');
    said.content += delta.content ?? '';
    said.reasoning += delta.reasoning_content ?? '';
    for (const { index: call, id, type, function: named } of delta.tool_calls ?? []) {
      if (call === said.calls.length) {
        assert.ok(id && named.name, 'a call begins with id and name');
        assert.equal(type, 'function');
        said.calls.push({ id, name: named.name, arguments: '' });
      }
      assert.equal(call, said.calls.length - 1, 'calls come one after the other');
      said.calls[call].arguments += named.arguments;
    }
    said.finish = finish_reason;
  }
  assert.ok(said.finish, 'no reason for the end');
  if (said.finish !== 'length') {
    for (const call of said.calls) call.input = JSON.parse(call.arguments);
    assert.equal(said.finish === 'tool_calls', said.calls.length > 0, said.finish);
  }
  return said;
}

/** `/v1/responses`: the response. */
export function checkResponseStream(text) {
  const events = parseEvents(text).map(namedData);
  events.forEach(({ sequence_number }, index) => assert.equal(sequence_number, index));
  assert.equal(events[0]?.type, 'response.created');
  assert.equal(events[1]?.type, 'response.in_progress');
  const last = events.at(-1);
  assert.ok(['response.completed', 'response.incomplete'].includes(last.type), JSON.stringify(last));
  const items = [];
  let open = null;
  let part = null;
  let joined = '';
  for (const event of events.slice(2, -1)) {
    const [, , detail] = /^(response\.)(.*)$/.exec(event.type);
    assert.equal(event.output_index, items.length, event.type);
    if (detail === 'output_item.added') {
      assert.equal(open, null, 'an item begins within another');
      open = event.item;
      joined = '';
      continue;
    }
    assert.ok(open, `${event.type} of no item`);
    if (detail === 'output_item.done') {
      assert.equal(part, null, 'an item ends within a part');
      assert.equal(event.item.id, open.id);
      assert.equal(event.item.type, open.type);
      items.push(event.item);
      open = null;
      continue;
    }
    assert.equal(event.item_id, open.id, event.type);
    if (/part\.added$/.test(detail)) {
      part = event.part;
      joined = '';
    } else if (/\.delta$/.test(detail)) {
      joined += event.delta;
    } else if (/part\.done$/.test(detail)) {
      assert.equal(event.part.text, joined);
      part = null;
    } else if (/\.done$/.test(detail)) {
      assert.equal(event.text ?? event.arguments ?? event.input, joined, event.type);
    } else {
      assert.fail(event.type);
    }
  }
  assert.equal(open, null, 'an item without an end');
  assert.deepEqual(last.response.output, items);
  for (const item of items) {
    if (item.type === 'function_call' && item.status === 'completed') JSON.parse(item.arguments);
  }
  return last.response;
}
