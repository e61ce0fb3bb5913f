// The current language: texts, and Intl formats bound to it.
import * as format from '$lib/format/format';
import { storage } from '$lib/state/storage';
import { en, type Texts } from './en';

export type Language = 'en' | 'de';

const LOADERS: Record<Language, () => Promise<Texts>> = {
  en: () => Promise.resolve(en),
  de: () => import('./de').then((module) => module.de),
};

export const LANGUAGES: readonly { id: Language; name: string }[] = [
  { id: 'en', name: 'English' },
  { id: 'de', name: 'Deutsch' },
];

class I18n {
  language = $state<Language>('en');
  m = $state.raw<Texts>(en);

  /** Numbers and times follow the region of the browser where it speaks the language of the texts. */
  get locale(): string {
    return navigator.languages.find((each) => each.startsWith(this.language)) ?? this.language;
  }

  async start(): Promise<void> {
    const stored = storage.get('language');
    const wanted = stored ?? navigator.languages.map((each) => each.slice(0, 2)).find((each) => each in LOADERS) ?? 'en';
    await this.use(wanted === 'de' ? 'de' : 'en', false);
  }

  async use(language: Language, keep = true): Promise<void> {
    this.m = await LOADERS[language]();
    this.language = language;
    document.documentElement.lang = language;
    if (keep) storage.set('language', language);
  }

  number = (value: number, digits = 0) => format.number(value, this.locale, digits);
  bytes = (value: number) => format.bytes(value, this.locale);
  parameters = (value: number) => format.parameters(value, this.locale);
  contextLength = (value: number) => format.contextLength(value, this.locale);
  duration = (ms: number) => format.duration(ms, this.locale);
  ago = (time: number, now = Date.now()) => format.ago(time, now, this.locale);
  dateTime = (time: number) => format.dateTime(time, this.locale);
  percent = (share: number) => format.percent(share, this.locale);
}

export const i18n = new I18n();
