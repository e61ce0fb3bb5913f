// Every sampling parameter of /v1/chat/completions as data: the panel, the check and the request come from this table.
import type { Parameters } from './types';

export type ParameterKind = 'number' | 'integer' | 'list' | 'json' | 'flag';

export interface Parameter {
  name: string;
  kind: ParameterKind;
  group: 'sampling' | 'length' | 'penalties' | 'advanced';
  min?: number;
  max?: number;
  step?: number;
  /** Ends of the slider, where the range itself is too wide for one. */
  slider?: [number, number];
}

export const PARAMETERS: readonly Parameter[] = [
  { name: 'temperature', kind: 'number', group: 'sampling', min: 0, max: 2, step: 0.05, slider: [0, 2] },
  { name: 'top_p', kind: 'number', group: 'sampling', min: 0, max: 1, step: 0.01, slider: [0, 1] },
  { name: 'top_k', kind: 'integer', group: 'sampling', min: 0, max: 2147483647, step: 1, slider: [0, 200] },
  { name: 'min_p', kind: 'number', group: 'sampling', min: 0, max: 1, step: 0.01, slider: [0, 1] },
  { name: 'seed', kind: 'integer', group: 'sampling', min: -9007199254740991, max: 9007199254740991 },
  { name: 'max_tokens', kind: 'integer', group: 'length', min: 1, max: 2147483647, step: 1 },
  { name: 'stop', kind: 'list', group: 'length' },
  { name: 'n', kind: 'integer', group: 'length', min: 1, max: 8, step: 1, slider: [1, 8] },
  { name: 'frequency_penalty', kind: 'number', group: 'penalties', min: -2, max: 2, step: 0.05, slider: [-2, 2] },
  { name: 'presence_penalty', kind: 'number', group: 'penalties', min: -2, max: 2, step: 0.05, slider: [-2, 2] },
  { name: 'repetition_penalty', kind: 'number', group: 'penalties', min: 0.01, max: 10, step: 0.01, slider: [0.5, 2] },
  { name: 'logit_bias', kind: 'json', group: 'advanced' },
  { name: 'top_logprobs', kind: 'integer', group: 'advanced', min: 0, max: 20, step: 1, slider: [0, 20] },
  { name: 'chat_template_kwargs', kind: 'json', group: 'advanced' },
];

/** As OpenAI names how much a model is to think. */
export const EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh'] as const;

/** What is wrong with a value, as a key of the texts; null if nothing. */
export function problemOf(parameter: Parameter, value: unknown): 'number' | 'integer' | 'range' | 'json' | null {
  if (value === undefined) return null;
  if (parameter.kind === 'number' || parameter.kind === 'integer') {
    if (typeof value !== 'number' || !Number.isFinite(value)) return 'number';
    if (parameter.kind === 'integer' && !Number.isInteger(value)) return 'integer';
    if (value < (parameter.min ?? -Infinity) || value > (parameter.max ?? Infinity)) return 'range';
  }
  if (parameter.kind === 'json' && (value === null || typeof value !== 'object' || Array.isArray(value))) return 'json';
  return null;
}

/** The parameters as they stand in a request: those that are set, and what belongs to them. */
export function requestParameters(parameters: Parameters): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const parameter of PARAMETERS) {
    const value = parameters[parameter.name];
    if (value === undefined || problemOf(parameter, value) !== null) continue;
    if (parameter.kind === 'list' && Array.isArray(value) && value.length === 0) continue;
    fields[parameter.name] = value;
  }
  if (fields.top_logprobs !== undefined) fields.logprobs = true;
  const format = parameters.response_format;
  if (format !== undefined) fields.response_format = format;
  if (typeof parameters.reasoning_effort === 'string') fields.reasoning_effort = parameters.reasoning_effort;
  return fields;
}

/** How many of a conversation's parameters are set. */
export function numberSet(parameters: Parameters): number {
  return Object.values(parameters).filter((value) => value !== undefined).length;
}
