// Numbers and times as people of a language write them. All of it over Intl; nothing here knows the current language.

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB'] as const;

/** Bytes in decimal units: "1.3 GB". */
export function bytes(value: number, locale: string): string {
  let amount = value;
  let unit = 0;
  while (Math.abs(amount) >= 999.5 && unit < UNITS.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  const digits = unit > 1 && Math.abs(amount) < 99.95 ? 1 : 0;
  const number = new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return `${number.format(amount)} ${UNITS[unit]}`;
}

export function number(value: number, locale: string, digits = 0): string {
  return new Intl.NumberFormat(locale, { maximumFractionDigits: digits }).format(value);
}

/** "135 M", "8.2 B": as the field names sizes of models. */
export function parameters(value: number, locale: string): string {
  const [divisor, unit] = value >= 1e12 ? [1e12, 'T'] : value >= 999.5e6 ? [1e9, 'B'] : value >= 1e6 ? [1e6, 'M'] : [1e3, 'K'];
  const amount = value / divisor;
  return `${new Intl.NumberFormat(locale, { maximumFractionDigits: amount < 10 ? 1 : 0 }).format(amount)} ${unit}`;
}

/** A context: "8K" of 8192, "128K" of 131072; small and odd ones in full. */
export function contextLength(tokens: number, locale: string): string {
  if (tokens >= 1 << 20 && tokens % (1 << 20) === 0) return `${number(tokens / (1 << 20), locale)}M`;
  if (tokens >= 1024 && tokens % 1024 === 0) return `${number(tokens / 1024, locale)}K`;
  return number(tokens, locale);
}

/** "850 ms", "3.2 s", "2 min 5 s", "3 h 12 min". */
export function duration(ms: number, locale: string): string {
  if (ms < 1000) return `${number(ms, locale)} ms`;
  if (ms < 9950) return `${new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(ms / 1000)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${number(seconds, locale)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 === 0 ? `${minutes} min` : `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${number(Math.floor(hours / 24), locale)} d ${hours % 24} h`;
}

const STEPS: readonly [number, Intl.RelativeTimeFormatUnit][] = [
  [60, 'second'],
  [60, 'minute'],
  [24, 'hour'],
  [7, 'day'],
  [4.35, 'week'],
  [12, 'month'],
  [Infinity, 'year'],
];

/** "3 minutes ago", "yesterday". */
export function ago(time: number, now: number, locale: string): string {
  let amount = (time - now) / 1000;
  const format = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
  for (const [size, unit] of STEPS) {
    if (Math.abs(amount) < size) return format.format(Math.round(amount), unit);
    amount /= size;
  }
  return format.format(Math.round(amount), 'year');
}

export function dateTime(time: number, locale: string): string {
  return new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' }).format(time);
}

export function percent(share: number, locale: string): string {
  return new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 }).format(share);
}
