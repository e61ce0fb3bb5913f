// The one place that talks to the server: JSON in and out, errors of every dialect made one kind, and what the pages
// need to prove who they are.

/** What the server, or the way to it, said was wrong. `status` 0: there was no answer. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly field: string | null = null,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(message);
    this.name = 'ApiError';
  }

  get unreachable(): boolean {
    return this.status === 0;
  }
}

/** Reads the error of an answer: OpenAI's envelope, or application/problem+json. */
export function errorOf(status: number, text: string, retryAfter: string | null = null): ApiError {
  let message = text.trim().slice(0, 500) || `the server answered ${status}`;
  let field: string | null = null;
  try {
    const body: unknown = JSON.parse(text);
    if (body !== null && typeof body === 'object') {
      const source: Record<string, unknown> = { ...body };
      const inner = source.error;
      if (inner !== null && typeof inner === 'object') Object.assign(source, inner);
      const said = source.detail ?? source.message ?? source.title ?? inner;
      if (typeof said === 'string' && said !== '') message = said;
      const named = source.param ?? source.field;
      if (typeof named === 'string') field = named;
    }
  } catch {
    // Not JSON: the text itself is what it says.
  }
  const seconds = retryAfter === null ? NaN : Number(retryAfter);
  return new ApiError(message, status, field, Number.isFinite(seconds) ? seconds : null);
}

export interface Connection {
  /** Called with whether the last request reached the server. */
  onReach: (reached: boolean) => void;
  /** Called when a request needs a login. */
  onLoginNeeded: () => void;
  /** Headers that go with each request: the proof against forged requests, a setup token. */
  headers: () => Record<string, string>;
}

export const connection: Connection = {
  onReach: () => {},
  onLoginNeeded: () => {},
  headers: () => ({}),
};

export interface Call {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  body?: unknown;
  signal?: AbortSignal;
  accept?: string;
  headers?: Record<string, string>;
  cache?: RequestCache;
}

/** One request; throws ApiError unless the answer is a success. */
export async function send(path: string, call: Call = {}): Promise<Response> {
  const headers: Record<string, string> = { accept: call.accept ?? 'application/json', ...connection.headers(), ...call.headers };
  if (call.body !== undefined) headers['content-type'] = 'application/json';
  let response: Response;
  try {
    response = await fetch(path, {
      method: call.method ?? 'GET',
      headers,
      body: call.body === undefined ? undefined : JSON.stringify(call.body),
      signal: call.signal,
      credentials: 'same-origin',
      cache: call.cache ?? 'no-store',
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    connection.onReach(false);
    throw new ApiError('the server cannot be reached', 0);
  }
  connection.onReach(true);
  if (response.ok) return response;
  const error = errorOf(response.status, await response.text(), response.headers.get('retry-after'));
  if (response.status === 401) connection.onLoginNeeded();
  throw error;
}

export async function json<T>(path: string, call: Call = {}): Promise<T> {
  const response = await send(path, call);
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}

/** Encodes an id that may have slashes in it so that these stay: "org/name" is two segments of a path. */
export function pathOf(id: string): string {
  return id.split('/').map(encodeURIComponent).join('/');
}
