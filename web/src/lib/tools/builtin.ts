// The page's own tools. They need nothing but this page and have no effect anywhere.
import { calculate } from './calculator';
import { ToolError, type Tool, type ToolSource } from './types';

function textOf(args: Record<string, unknown>, name: string): string {
  const value = args[name];
  if (typeof value !== 'string' || value.trim() === '') throw new ToolError(`"${name}" must be a text`);
  return value.trim();
}

export const calculator: Tool = {
  name: 'calculator',
  description: 'Computes an arithmetic expression exactly as written. Use it for every calculation.',
  parameters: {
    type: 'object',
    properties: { expression: { type: 'string', description: 'Such as (3 + 4) * 2^10 / sqrt(2). Has + - * / % ^, functions such as sqrt, sin, log, round, max, and pi and e.' } },
    required: ['expression'],
  },
  // Away with what binary fractions leave behind: 0.1 + 0.2 is 0.3.
  run: (args) => String(Number(calculate(textOf(args, 'expression')).toPrecision(15))),
};

/** Date, time and weekday at `now` in a time zone, as JSON. */
export function timeIn(timeZone: string | undefined, now: Date): string {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-CA', {
      timeZone, weekday: 'long', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23',
    });
  } catch {
    throw new ToolError(`"${timeZone}" is not a time zone; they are named like Europe/Berlin`);
  }
  const parts = Object.fromEntries(format.formatToParts(now).map(({ type, value }) => [type, value]));
  const zone = format.resolvedOptions().timeZone;
  return JSON.stringify({ date: `${parts.year}-${parts.month}-${parts.day}`, time: `${parts.hour}:${parts.minute}:${parts.second}`, weekday: parts.weekday, timezone: zone });
}

export const currentTime: Tool = {
  name: 'current_time',
  description: 'Tells the current date, time and weekday.',
  parameters: {
    type: 'object',
    properties: { timezone: { type: 'string', description: 'IANA name such as Europe/Berlin; left out: the time zone of the user.' } },
  },
  run: (args) => timeIn(args.timezone === undefined || args.timezone === null || args.timezone === '' ? undefined : textOf(args, 'timezone'), new Date()),
};

const SKIES = ['sunny', 'cloudy', 'light rain', 'windy', 'fog', 'snow'] as const;

/** Made up from the name, so that the same place has the same weather. */
export function sampleWeather(place: string): string {
  let hash = 0;
  for (const letter of place.toLowerCase()) hash = (Math.imul(hash, 31) + letter.codePointAt(0)!) >>> 0;
  const sky = SKIES[hash % SKIES.length]!;
  const celsius = sky === 'snow' ? -(hash % 8) : 4 + (hash % 26);
  return JSON.stringify({ sample: true, note: 'Made up to try out tools. This is not the real weather; say so.', place, sky, celsius });
}

export const weatherSample: Tool = {
  name: 'weather_sample',
  description: 'Gives made-up weather of a place, as a sample for trying out tools. Not real weather.',
  parameters: { type: 'object', properties: { place: { type: 'string', description: 'Name of a town' } }, required: ['place'] },
  run: (args) => sampleWeather(textOf(args, 'place')),
};

export const builtin: ToolSource = { id: 'builtin', list: () => [calculator, currentTime, weatherSample] };
