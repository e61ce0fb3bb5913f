// What this server is: its routes, its health, its metrics.
import { json, send } from './http';

export interface ServerFacts {
  version: string;
  /** "GET /api/v1/chats": what the router knows, so that a page never asks for what is not there. */
  routes: string[];
}

export function serverFacts(signal?: AbortSignal): Promise<ServerFacts> {
  return json<ServerFacts>('/web/server.json', { signal });
}

export async function metricsText(signal?: AbortSignal): Promise<string> {
  return (await send('/metrics', { accept: 'text/plain', signal })).text();
}
