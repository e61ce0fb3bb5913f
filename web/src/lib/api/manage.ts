// /api/v1/profiles, aliases and settings.
import { json, pathOf, send } from './http';

export interface Profile {
  id: string;
  name: string;
  description: string;
  model: string;
  /** As fields of a request: system, context_tokens, template, temperature, … */
  defaults: Record<string, unknown>;
  auto_load: boolean;
  created_at: number;
  changed_at: number;
}

export type ProfileFields = Partial<Pick<Profile, 'name' | 'description' | 'model' | 'defaults' | 'auto_load'>>;

export const profiles = {
  list: async () => (await json<{ profiles: Profile[] }>('/api/v1/profiles')).profiles,
  create: (fields: ProfileFields) => json<Profile>('/api/v1/profiles', { method: 'POST', body: fields }),
  change: (id: string, fields: ProfileFields) => json<Profile>(`/api/v1/profiles/${pathOf(id)}`, { method: 'PATCH', body: fields }),
  duplicate: (id: string) => json<Profile>(`/api/v1/profiles/${pathOf(id)}/duplicate`, { method: 'POST', body: {} }),
  remove: (id: string) => json<void>(`/api/v1/profiles/${pathOf(id)}`, { method: 'DELETE' }),
  /** As a file to share. */
  toml: async (id: string) => (await send(`/api/v1/profiles/${pathOf(id)}/toml`, { accept: 'application/toml' })).text(),
  import: (toml: string) => json<Profile>('/api/v1/profiles/import', { method: 'POST', body: { toml } }),
};

/** Another name for a model or profile. */
export interface Alias {
  name: string;
  model: string;
}

export const aliases = {
  list: async () => (await json<{ aliases: Alias[] }>('/api/v1/aliases')).aliases,
  set: ({ name, model }: Alias) => json<Alias>(`/api/v1/aliases/${encodeURIComponent(name)}`, { method: 'PUT', body: { model } }),
  remove: (name: string) => json<void>(`/api/v1/aliases/${encodeURIComponent(name)}`, { method: 'DELETE' }),
};

export interface Setting {
  name: string;
  kind: 'text' | 'number' | 'size' | 'switch' | 'list' | 'secret';
  category: string;
  help: string;
  default: string;
  effect: 'at once' | 'at the next start';
  choices?: string; // ", " between
  min?: number;
  max?: number;
  value: string | number | boolean | string[] | null;
  is_set?: boolean; // of a secret
  from: string; // "--port", "MLXD_PORT", a file, "stored", "default"
  restart_needed?: boolean;
}

export type SettingValue = Setting['value'];

export const settings = {
  list: async () => (await json<{ settings: Setting[] }>('/api/v1/settings')).settings,
  /** null: back to the default. */
  change: async (changes: Record<string, SettingValue>) =>
    (await json<{ settings: Setting[] }>('/api/v1/settings', { method: 'PATCH', body: changes })).settings,
  /** Encrypts what is secret anew, with a key that nobody has seen. */
  rotateKey: () => json<void>('/api/v1/settings/rotate-key', { method: 'POST' }),
};
