// /api/v1/jobs: long work over models. Times are seconds since 1970.
import { json, pathOf } from './http';

export type JobState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled' | 'interrupted';

export interface Job {
  id: string;
  kind: string;
  user: string | null;
  parameters: Record<string, unknown>;
  state: JobState;
  cancelling: boolean;
  jobs_before: number;
  step: string;
  progress: number;
  error: { code: string; message: string } | null;
  result: Record<string, unknown> | null;
  log_lines: number;
  created_at: number;
  started_at: number | null;
  ended_at: number | null;
}

export interface JobLine {
  number: number;
  at: number;
  text: string;
}

/** What a kind of job wants to know, told by the server. */
export interface JobParameter {
  name: string;
  type: 'text' | 'long_text' | 'integer' | 'integers' | 'boolean';
  about: string;
  required: boolean;
  default: unknown;
  min?: number;
  max?: number;
  choices?: string[];
}

export interface JobKind {
  kind: string;
  about: string;
  admin_only: boolean;
  parameters: JobParameter[];
}

export type JobNews =
  | { kind: 'jobs'; jobs: Job[] }
  | { kind: 'job'; job: Job }
  | { kind: 'job_log'; id: string; line: JobLine }
  | { kind: 'job_gone'; id: string };

const path = (id: string, verb = '') => `/api/v1/jobs/${pathOf(id)}${verb}`;

export const jobs = {
  kinds: async () => (await json<{ kinds: JobKind[] }>('/api/v1/jobs/kinds')).kinds,
  list: async () => (await json<{ jobs: Job[] }>('/api/v1/jobs')).jobs,
  show: (id: string) => json<Job>(path(id)),
  begin: (kind: string, parameters: Record<string, unknown>) => json<Job>('/api/v1/jobs', { method: 'POST', body: { kind, parameters } }),
  log: (id: string, from = 0) => json<{ lines: JobLine[]; next: number }>(`${path(id, '/log')}?from=${from}`),
  cancel: (id: string) => json<Job>(path(id, '/cancel'), { method: 'POST' }),
  forget: (id: string) => json<void>(path(id), { method: 'DELETE' }),
};

export function isOver(job: Job): boolean {
  return job.state !== 'queued' && job.state !== 'running';
}

/** What was typed in a form, as the server wants it; what is empty is left out. Null: `field` is wrong. */
export function parametersOf(kind: JobKind, form: Record<string, string | boolean>): { parameters: Record<string, unknown> } | { wrong: string } {
  const parameters: Record<string, unknown> = {};
  for (const { name, type } of kind.parameters) {
    const given = form[name];
    if (type === 'boolean') {
      if (given === true) parameters[name] = true;
      continue;
    }
    const text = String(given ?? '');
    if (text.trim() === '') continue;
    if (type === 'long_text') parameters[name] = text;
    else if (type === 'text') parameters[name] = text.trim();
    else {
      const numbers = text.split(/[\s,;]+/).filter(Boolean).map(Number);
      if (numbers.length === 0 || numbers.some((each) => !Number.isInteger(each)) || (type === 'integer' && numbers.length > 1)) return { wrong: name };
      parameters[name] = type === 'integer' ? numbers[0] : numbers;
    }
  }
  return { parameters };
}
