// The pages, and what the server must have for each: a page without its API is not shown.
import Activity from '@lucide/svelte/icons/activity';
import Boxes from '@lucide/svelte/icons/boxes';
import CodeXml from '@lucide/svelte/icons/code-xml';
import IdCard from '@lucide/svelte/icons/id-card';
import KeyRound from '@lucide/svelte/icons/key-round';
import ListChecks from '@lucide/svelte/icons/list-checks';
import MessageSquare from '@lucide/svelte/icons/message-square';
import Settings from '@lucide/svelte/icons/settings';
import Users from '@lucide/svelte/icons/users';
import type { Component } from 'svelte';
import { account } from './account.svelte';
import { server } from './server.svelte';

export type PageId = 'chat' | 'models' | 'running' | 'jobs' | 'profiles' | 'users' | 'keys' | 'connect' | 'settings';

export interface PageEntry {
  id: PageId;
  path: string;
  icon: Component;
  /** A route that it cannot do without. */
  needs: string;
  admin?: boolean;
}

const PAGES: readonly PageEntry[] = [
  { id: 'chat', path: '/chat', icon: MessageSquare, needs: 'POST /v1/chat/completions' },
  { id: 'models', path: '/models', icon: Boxes, needs: 'GET /v1/models' },
  { id: 'running', path: '/running', icon: Activity, needs: 'GET /metrics' },
  { id: 'jobs', path: '/jobs', icon: ListChecks, needs: 'GET /api/v1/jobs/kinds' },
  { id: 'profiles', path: '/profiles', icon: IdCard, needs: 'GET /api/v1/profiles' },
  { id: 'keys', path: '/keys', icon: KeyRound, needs: 'GET /api/v1/keys' },
  { id: 'users', path: '/users', icon: Users, needs: 'GET /api/v1/users', admin: true },
  { id: 'connect', path: '/connect', icon: CodeXml, needs: 'GET /v1/models' },
  { id: 'settings', path: '/settings', icon: Settings, needs: 'GET /healthz' },
];

export function shownPages(): PageEntry[] {
  return PAGES.filter((page) => server.has(page.needs) && (!page.admin || account.isAdmin) && (page.id !== 'keys' || account.user !== null));
}
