// What must be known before the first page: once for each load of the page.
import { goto } from '$app/navigation';
import { openBrowserChats } from '$lib/api/browser_chats';
import { connection } from '$lib/api/http';
import { ServerChats } from '$lib/api/server_chats';
import { i18n } from '$lib/i18n/i18n.svelte';
import { account } from './account.svelte';
import { chats } from './chats.svelte';
import { frame } from './frame.svelte';
import { models } from './models.svelte';
import { news } from './news.svelte';
import { server } from './server.svelte';
import { theme } from './theme.svelte';
import { toasts } from './toasts.svelte';

let starting: Promise<void> | undefined;

export function startApp(): Promise<void> {
  return (starting ??= start());
}

// Told wherever one may be by now; a first model is waited for, and opens the chat by itself.
function arrived(model: string): void {
  if (models.loaded && models.chat.length === 0) return;
  toasts.good(i18n.m.start.arrived(model), { label: i18n.m.models.chatWith, run: () => void goto(`/chat?model=${encodeURIComponent(model)}`) });
}

async function start(): Promise<void> {
  theme.start();
  frame.start();
  await Promise.all([i18n.start(), server.start()]);
  try {
    await account.start();
  } catch {
    // Unreachable: the frame says so, and what is needed is asked again.
  }
  if (!account.isIn) return;
  connection.onLoginNeeded = () => {
    if (account.user) location.assign('/login');
  };
  // The lists may come after the first paint.
  void models.refresh();
  const onServer = server.has('GET /api/v1/chats') && account.user !== null;
  void chats.start(onServer ? new ServerChats() : await openBrowserChats());
  if (server.has('GET /api/v1/events')) {
    // Someone who registers shows at the sidebar at once.
    news.on('users', () => void account.countPending().catch(() => {}));
    // A profile is a model too.
    news.on('profiles', () => void models.refresh());
    news.onArrival = (download) => arrived(download.model);
    news.start();
  }
}
