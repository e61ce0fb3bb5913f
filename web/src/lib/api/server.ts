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

export interface SystemFacts {
  started_at: number;
  uptime_s: number;
  memory_bytes: number;
  open_connections: number;
  loaded_models: string[];
  /** Where the program keeps what it keeps; administrators only. */
  state_folder?: string;
}

export function systemFacts(): Promise<SystemFacts> {
  return json<SystemFacts>('/api/v1/system');
}

export async function metricsText(signal?: AbortSignal): Promise<string> {
  return (await send('/metrics', { accept: 'text/plain', signal })).text();
}
