import { afterEach, describe, expect, it, vi } from 'vitest';
import { newConversation, newMessage } from '$lib/chat/tree';
import { ServerChats } from './server_chats';

interface Sent {
  method: string;
  path: string;
  body: Record<string, unknown> | undefined;
}

/** A server that keeps what it is sent and gives ids by number. */
function record(): Sent[] {
  const sent: Sent[] = [];
  let id = 0;
  vi.stubGlobal('fetch', (path: string, { method, body }: { method: string; body?: string }) => {
    sent.push({ method, path, body: body === undefined ? undefined : (JSON.parse(body) as Record<string, unknown>) });
    const answer = method === 'DELETE' ? new Response(null, { status: 204 }) : new Response(JSON.stringify({ id: `s${++id}` }), { status: 200 });
    return Promise.resolve(answer);
  });
  return sent;
}

afterEach(() => vi.unstubAllGlobals());

describe('conversations on the server', () => {
  it('write an answer again when its calls have results, with the settings that went with it', async () => {
    const sent = record();
    const store = new ServerChats();
    const conversation = newConversation('m');
    conversation.id = await store.create(conversation);
    const question = newMessage('user', null, { text: 'Add.' });
    const answer = newMessage('assistant', question.id, { finish: 'tool_calls', toolCalls: [{ id: 'x', name: 'add', arguments: '{}' }] });
    conversation.messages = [question, answer];
    conversation.current = answer.id;
    conversation.settings.tools = ['add'];
    await store.save(conversation);
    sent.length = 0;

    await store.save(conversation);
    expect(sent).toEqual([]);

    answer.toolCalls[0]!.result = '3';
    const next = newMessage('assistant', answer.id);
    conversation.messages.push(next);
    await store.save(conversation);
    expect(sent.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'DELETE /api/v1/chats/s1/messages/s3',
      'POST /api/v1/chats/s1/messages',
      'PATCH /api/v1/chats/s1',
    ]);
    expect(sent[1]!.body).toMatchObject({ parent_id: 's2', details: { toolCalls: [{ result: '3' }], settings: { tools: ['add'] } } });
    const rewritten = (sent[2]!.body as { current_message: string }).current_message;

    // Nothing that is built upon is written again.
    sent.length = 0;
    Object.assign(next, { text: 'Three', finish: 'stop' });
    await store.save(conversation);
    answer.text = 'changed';
    await store.save(conversation);
    expect(sent).toHaveLength(1);
    expect(sent[0]).toMatchObject({ method: 'POST', body: { parent_id: rewritten, text: 'Three' } });
  });

  it('name, rename and remove folders', async () => {
    const sent = record();
    const { folders } = new ServerChats();
    await folders.create('Work');
    await folders.rename('f/1', 'Home');
    await folders.remove('f');
    expect(sent).toEqual([
      { method: 'POST', path: '/api/v1/chat-folders', body: { name: 'Work' } },
      { method: 'PATCH', path: '/api/v1/chat-folders/f/1', body: { name: 'Home' } },
      { method: 'DELETE', path: '/api/v1/chat-folders/f', body: undefined },
    ]);
  });
});
