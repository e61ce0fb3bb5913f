import { describe, expect, it } from 'vitest';
import { SseParser } from './sse';

const STREAM = ': comment\ndata: {"a":1}\n\nevent: download\r\ndata: one\r\ndata:two\r\nid: 7\r\n\r\ndata\n\n\nevent: empty\n\ndata: ü€😀\r\rdata: last';
const EVENTS = [
  { event: 'message', data: '{"a":1}', id: '' },
  { event: 'download', data: 'one\ntwo', id: '7' },
  { event: 'message', data: '', id: '7' },
  { event: 'message', data: 'ü€😀', id: '7' },
];

describe('server-sent events', () => {
  it('come whole from one piece', () => expect(new SseParser().push(STREAM)).toEqual(EVENTS));

  it('come the same wherever the pieces are cut', () => {
    for (let i = 0; i <= STREAM.length; i++) {
      const parser = new SseParser();
      expect([...parser.push(STREAM.slice(0, i)), ...parser.push(STREAM.slice(i))], `cut at ${i}`).toEqual(EVENTS);
    }
    const parser = new SseParser();
    expect([...STREAM].flatMap((each) => parser.push(each))).toEqual(EVENTS);
  });
});
