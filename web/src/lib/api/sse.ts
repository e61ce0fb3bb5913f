// Server-sent events from a fetch body (WHATWG HTML, section 9.2.6).

export interface ServerEvent {
  event: string;
  data: string;
  id: string;
}

/** Takes text in any pieces; gives the events that have come to their end. */
export class SseParser {
  #rest = '';
  #data: string[] = [];
  #event = '';
  #id = '';
  #afterCr = false;

  push(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    if (this.#afterCr && text.startsWith('\n')) text = text.slice(1);
    if (text !== '') this.#afterCr = text.endsWith('\r');
    const lines = (this.#rest + text).split(/\r\n|\r|\n/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      const done = this.#line(line);
      if (done) events.push(done);
    }
    return events;
  }

  #line(line: string): ServerEvent | null {
    if (line === '') {
      const data = this.#data;
      const event = this.#event || 'message';
      this.#data = [];
      this.#event = '';
      return data.length > 0 ? { event, data: data.join('\n'), id: this.#id } : null;
    }
    if (line.startsWith(':')) return null;
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'data') this.#data.push(value);
    else if (field === 'event') this.#event = value;
    else if (field === 'id') this.#id = value;
    return null;
  }
}

export async function* eventsOf(response: Response): AsyncGenerator<ServerEvent> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parser = new SseParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
