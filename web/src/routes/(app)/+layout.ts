import { redirect } from '@sveltejs/kit';
import { account } from '$lib/state/account.svelte';
import { startApp } from '$lib/state/start';

export const load = async ({ url }: { url: URL }) => {
  await startApp();
  if (!account.isIn) redirect(307, `/login?next=${encodeURIComponent(url.pathname + url.search)}`);
  // With the link of a server that nobody has set up, that comes first.
  if (!account.offered && !account.hasUsers) {
    account.offered = true;
    redirect(307, '/login');
  }
};
