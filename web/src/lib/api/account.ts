// /api/v1/auth, users and keys. Times are seconds since 1970.
import { json, pathOf } from './http';

export type Role = 'admin' | 'user' | 'viewer';

export interface User {
  id: string;
  email: string;
  name: string;
  role: Role;
  status: 'pending' | 'active' | 'disabled';
  created_at: number;
  last_login_at: number | null;
}

export interface AuthState {
  has_users: boolean;
  /** Local programs may generate without a key. */
  open: boolean;
  signed_in: boolean;
}

export interface Session {
  id: string;
  created_at: number;
  expires_at: number;
  address: string;
  agent: string;
  current: boolean;
}

interface SignedIn {
  user: User;
  csrf_token?: string;
}

export const auth = {
  state: () => json<AuthState>('/api/v1/auth/state'),
  me: () => json<SignedIn>('/api/v1/auth/me'),
  login: (email: string, password: string) => json<SignedIn>('/api/v1/auth/login', { method: 'POST', body: { email, password } }),
  register: (fields: { email: string; password: string; name: string; setup_token?: string }) =>
    json<{ user: User }>('/api/v1/auth/register', { method: 'POST', body: fields }),
  logout: () => json<void>('/api/v1/auth/logout', { method: 'POST' }),
  changePassword: (old_password: string, new_password: string) =>
    json<void>('/api/v1/auth/password', { method: 'POST', body: { old_password, new_password } }),
  sessions: async () => (await json<{ sessions: Session[] }>('/api/v1/auth/sessions')).sessions,
  endSession: (id: string) => json<void>(`/api/v1/auth/sessions/${pathOf(id)}`, { method: 'DELETE' }),
};

export const users = {
  list: async () => (await json<{ users: User[] }>('/api/v1/users')).users,
  create: (fields: { email: string; password: string; name: string; role: Role }) => json<User>('/api/v1/users', { method: 'POST', body: fields }),
  change: (id: string, fields: { name?: string; role?: Role; status?: 'active' | 'disabled' }) =>
    json<User>(`/api/v1/users/${pathOf(id)}`, { method: 'PATCH', body: fields }),
  setPassword: (id: string, new_password: string) => json<void>(`/api/v1/users/${pathOf(id)}/password`, { method: 'POST', body: { new_password } }),
  /** What went with the account. */
  remove: (id: string) => json<{ keys_removed: number; chats_removed: number }>(`/api/v1/users/${pathOf(id)}`, { method: 'DELETE' }),
};

export type KeyPriority = 'high' | 'normal' | 'low';

export interface ApiKey {
  id: string;
  name: string;
  user: string;
  hint: string;
  models: string[];
  endpoints: string[];
  cloud: boolean;
  admin: boolean;
  priority: KeyPriority;
  cache_salt: string;
  requests_per_minute: number;
  tokens_per_minute: number;
  max_concurrent: number;
  tokens_per_month: number;
  created_at: number;
  expires_at: number | null;
  last_used_at: number | null;
}

export interface NewKey {
  name: string;
  /** E-mail address of another account; administrators only. */
  user?: string;
  models?: string[];
  endpoints?: string[];
  cloud?: boolean;
  cache_salt?: string;
  admin?: boolean;
  priority?: KeyPriority;
  requests_per_minute?: number;
  tokens_per_minute?: number;
  max_concurrent?: number;
  tokens_per_month?: number;
  expires_at?: number;
}

/** What a key was used for in one calendar month (UTC), such as "2026-11". */
export interface KeyUsage {
  month: string;
  requests: number;
  prompt_tokens: number;
  completion_tokens: number;
}

export const keys = {
  list: async () => (await json<{ keys: ApiKey[] }>('/api/v1/keys')).keys,
  create: (fields: NewKey) => json<ApiKey & { key: string }>('/api/v1/keys', { method: 'POST', body: fields }),
  usage: async (id: string) => (await json<{ usage: KeyUsage[] }>(`/api/v1/keys/${pathOf(id)}/usage`)).usage,
  revoke: (id: string) => json<void>(`/api/v1/keys/${pathOf(id)}`, { method: 'DELETE' }),
};
