// /api/v1/models, /api/v1/hub/models, /api/v1/downloads and their events.
import { json, pathOf, send } from './http';
import type { Job, JobLine, JobNews } from './jobs';
import { eventsOf } from './sse';

export interface Facts {
  architecture: string;
  quantization: string;
  context_tokens: number;
  parameters: number;
  size_bytes: number;
  weight_bytes: number;
  bits_per_weight: number;
  inputs: string[];
  chat_template: boolean;
  tools: boolean;
  reasoning: boolean;
  license: string;
  base_models: string[];
}

export interface Fit {
  verdict: 'fits' | 'tight' | 'too_large' | 'unknown';
  weight_bytes: number;
  kv_bytes: number;
  scratch_bytes: number;
  total_bytes: number;
  memory_bytes: number;
  context_tokens: number;
  concurrency: number;
  max_context_tokens: number;
}

export interface LocalModel {
  id: string;
  source: 'hub' | 'folder' | 'added' | 'path';
  path: string;
  loaded: boolean;
  supported: boolean;
  problem: string | null;
  modified: number;
  facts: Facts;
  fit: Fit;
  /** The variables of its chat template; told of one model only. */
  template_switches?: TemplateSwitch[];
  /** Of one that lies in the cache of the hub. */
  repository?: { size_bytes: number; incomplete_bytes: number; problems: string[]; revisions: Revision[] };
}

/** `default` changes nothing; null: it is not known. */
export interface TemplateSwitch {
  name: string;
  default: unknown;
}

export interface ModelFile {
  path: string;
  size_bytes: number;
}

export interface Revision {
  commit: string;
  refs: string[];
  size_bytes: number;
  modified: number;
  /** Told of one model only. */
  files?: ModelFile[];
}

export interface HubModel {
  id: string;
  author: string;
  downloads: number;
  likes: number;
  last_modified: string;
  architecture: string;
  license: string;
  gated: false | string;
  storage_bytes: number;
  /** Of its weight files; null where the hub does not tell. */
  weight_bytes: number | null;
  base_models: string[];
  tags: string[];
  here?: boolean;
  supported: boolean;
}

export interface HubDetails extends HubModel {
  card: string | null;
  files?: ModelFile[];
  facts: Facts;
  fit: Fit;
}

export interface Download {
  id: string;
  model: string;
  revision: string;
  state: 'queued' | 'running' | 'paused' | 'failed' | 'cancelled' | 'done';
  message: string | null;
  waiting: string | null;
  total_bytes: number;
  present_bytes: number;
  bytes_per_s: number;
  seconds_left: number | null;
  created: number;
  ended: number | null;
  version: number;
}

function query(fields: Record<string, string | number | undefined>): string {
  const entries = Object.entries(fields).filter((entry) => entry[1] !== undefined && entry[1] !== '');
  return entries.length === 0 ? '' : '?' + new URLSearchParams(entries.map(([key, value]) => [key, String(value)])).toString();
}

export const catalog = {
  list: async (context?: number) => (await json<{ models: LocalModel[] }>(`/api/v1/models${query({ context })}`)).models,
  show: (id: string, fields: { context?: number; concurrency?: number } = {}) => json<LocalModel>(`/api/v1/models/${pathOf(id)}${query(fields)}`),
  scan: async () => (await json<{ models: LocalModel[] }>('/api/v1/models/scan', { method: 'POST' })).models,
  /** All of it, or one revision; `added`: although it lies in a folder that was added. */
  remove: (id: string, revision?: string, added = false) =>
    json<{ freed_bytes: number }>(`/api/v1/models/${pathOf(id)}${query({ revision, added: added ? 1 : undefined })}`, { method: 'DELETE' }),
};

export const HUB_SORTS = ['trending', 'downloads', 'likes', 'modified', 'created'] as const;
export type HubSort = (typeof HUB_SORTS)[number];

export interface HubQuery {
  search?: string;
  author?: string;
  tag?: string;
  sort?: HubSort;
  /** 1: also what is not in MLX's format. */
  all?: 1;
  limit?: number;
  cursor?: string;
}

/** Whose a token of Hugging Face is, and where the one that was tested comes from. */
export interface HubAccount {
  name: string | null;
  token_name: string | null;
  role: string | null;
  from: string;
}

/** A quantized version of a model. */
export interface Variant extends HubModel {
  bits: number;
  fit: Fit;
  recommended: boolean;
}

export const hub = {
  /** Asks Hugging Face about a token; none: about the one that the server has. */
  testToken: (token?: string) => json<HubAccount>('/api/v1/hub/token-test', { method: 'POST', body: token ? { token } : {} }),
  search: (fields: HubQuery, signal?: AbortSignal) =>
    json<{ models: HubModel[]; next: string | null }>(`/api/v1/hub/models${query({ ...fields })}`, { signal }),
  show: (id: string, fields: { context?: number; concurrency?: number; revision?: string } = {}, signal?: AbortSignal) =>
    json<HubDetails>(`/api/v1/hub/models/${pathOf(id)}${query(fields)}`, { signal }),
  variants: async (of: string, context?: number) => (await json<{ variants: Variant[] }>(`/api/v1/hub/variants${query({ of, context })}`)).variants,
};

const downloadPath = (id: string, verb?: string) => `/api/v1/downloads/${pathOf(id)}${verb ? `/${verb}` : ''}`;

export const downloads = {
  begin: (model: string, fields: { revision?: string; files?: string[] } = {}) =>
    json<Download>('/api/v1/downloads', { method: 'POST', body: { model, ...fields } }),
  act: (id: string, verb: 'pause' | 'resume' | 'cancel') => json<Download>(downloadPath(id, verb), { method: 'POST' }),
  forget: (id: string) => json<void>(downloadPath(id), { method: 'DELETE' }),
};

export type ServerNews =
  | { kind: 'downloads'; downloads: Download[] }
  | { kind: 'download'; download: Download }
  | { kind: 'models' | 'users' | 'profiles' | 'settings' }
  | { kind: 'server'; load: LoadStep }
  | { kind: 'work'; job: JobNews };

/** A step of a model's load. `step` ends with "ready", "failed" or "unloaded". */
export interface LoadStep {
  model: string;
  step: string;
  elapsed_s?: number;
  fraction?: number;
  message?: string;
}

/** One event of the server's; null for one that this page does not know. */
export function newsOf(event: string, data: string): ServerNews | null {
  switch (event) {
    case 'downloads':
      return { kind: event, downloads: (JSON.parse(data) as { downloads: Download[] }).downloads };
    case 'download':
      return { kind: event, download: JSON.parse(data) as Download };
    case 'server':
      return { kind: event, load: JSON.parse(data) as LoadStep };
    case 'jobs':
      return { kind: 'work', job: { kind: event, jobs: (JSON.parse(data) as { jobs: Job[] }).jobs } };
    case 'job':
      return { kind: 'work', job: { kind: event, job: JSON.parse(data) as Job } };
    case 'job_log':
      return { kind: 'work', job: { kind: event, ...(JSON.parse(data) as { id: string; line: JobLine }) } };
    case 'job_gone':
      return { kind: 'work', job: { kind: event, ...(JSON.parse(data) as { id: string }) } };
    case 'models':
    case 'users':
    case 'profiles':
    case 'settings':
      return { kind: event };
    default:
      return null;
  }
}

/** What the server pushes; ends when the connection does. */
export async function* news(signal: AbortSignal): AsyncGenerator<ServerNews> {
  const response = await send('/api/v1/events', { accept: 'text/event-stream', signal });
  for await (const { event, data } of eventsOf(response)) {
    const item = newsOf(event, data);
    if (item !== null) yield item;
  }
}
