// Who uses this page, where the server has accounts.
import { auth, users, type User } from '$lib/api/account';
import { ApiError, connection } from '$lib/api/http';
import { server } from './server.svelte';

const SETUP = 'mlxd.setup';

class Account {
  user = $state<User | null>(null);
  /** The server has accounts at all; someone has one; local programs may generate without. */
  available = $state(false);
  hasUsers = $state(false);
  open = $state(true);
  /** The token of the link that the server printed: lets this page administer before the first account. */
  setupToken = $state<string | null>(null);
  pending = $state(0);
  /** The first account has been offered, once for each time that the link is opened. */
  offered = true;
  #csrf = '';

  get isAdmin(): boolean {
    return this.user?.role === 'admin' || this.setupToken !== null;
  }
  /** May use the models: signed in, or there is nobody to be. */
  get isIn(): boolean {
    return !this.available || this.user !== null || this.open;
  }

  async start(): Promise<void> {
    this.#takeSetupToken();
    connection.headers = () => {
      const headers: Record<string, string> = {};
      if (this.#csrf !== '') headers['x-csrf-token'] = this.#csrf;
      else if (this.setupToken !== null) headers.authorization = `Bearer ${this.setupToken}`;
      return headers;
    };
    this.available = server.has('GET /api/v1/auth/state');
    if (this.available) await this.refresh();
  }

  async refresh(): Promise<void> {
    const state = await auth.state();
    this.hasUsers = state.has_users;
    this.open = state.open;
    if (state.has_users) this.#forgetSetupToken();
    if (!state.signed_in) {
      this.user = null;
      this.#csrf = '';
      return;
    }
    try {
      this.#signedIn(await auth.me());
    } catch (error) {
      // The session ended in between.
      if (!(error instanceof ApiError && error.status === 401)) throw error;
    }
    await this.countPending();
  }

  async login(email: string, password: string): Promise<void> {
    this.#signedIn(await auth.login(email, password));
    await this.refresh();
  }

  /** True if the account may be used at once. */
  async register(email: string, password: string, name: string): Promise<boolean> {
    const { user } = await auth.register({ email, password, name, setup_token: this.setupToken ?? undefined });
    if (user.status !== 'active') return false;
    await this.login(email, password);
    return true;
  }

  async logout(): Promise<void> {
    await auth.logout();
    // Nothing of this person may stay in the page.
    location.assign('/login');
  }

  async countPending(): Promise<void> {
    if (this.user?.role !== 'admin') return;
    this.pending = (await users.list()).filter((user) => user.status === 'pending').length;
  }

  #signedIn({ user, csrf_token }: { user: User; csrf_token?: string }): void {
    this.user = user;
    this.#csrf = csrf_token ?? this.#csrf;
  }

  #takeSetupToken(): void {
    const given = /^#setup=([\w-]+)$/.exec(location.hash)?.[1];
    try {
      if (given !== undefined) sessionStorage.setItem(SETUP, given);
      this.setupToken = sessionStorage.getItem(SETUP);
    } catch {
      this.setupToken = given ?? null;
    }
    if (given !== undefined) this.offered = false;
    // Out of the address, where it could be copied along.
    if (given !== undefined) history.replaceState(history.state, '', location.pathname + location.search);
  }

  #forgetSetupToken(): void {
    this.setupToken = null;
    try {
      sessionStorage.removeItem(SETUP);
    } catch {
      // It never was there.
    }
  }
}

export const account = new Account();
