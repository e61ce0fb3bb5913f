// Accounts, keys, profiles, settings and conversations on the server, from the link that it printed on. Each is
// skipped, by name, on a server that lacks its API.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ask, checkAccessibility, MODEL, noBrowser, openPage, picture, startBrowser, startServer } from './harness.js';

const ADMIN = { name: 'Ada', email: 'ada@example.org', password: 'correct horse battery' };
const OTHER = { name: 'Bob', email: 'bob@example.org', password: 'staple battery horse' };

describe('a server with accounts', { skip: noBrowser }, () => {
  let server;
  let browser;
  let routes;
  let admin; // the administrator's page, open all the way
  before(async () => {
    server = await startServer();
    browser = await startBrowser();
    routes = await server.routes();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });
  const lacks = (route) => !routes.includes(route) && `this server has no ${route}`;
  const accounts = 'POST /api/v1/auth/register';
  const fill = async (page, { name, email, password }) => {
    if (name) await page.getByLabel('Name').fill(name);
    await page.getByLabel('E-mail').fill(email);
    await page.getByLabel('Password').fill(password);
  };
  const card = (page, name) => page.locator('#content li').filter({ hasText: name });

  it('lets a local page chat before there is an account, and administer nothing', async (t) => {
    if (lacks(accounts)) return t.skip(lacks(accounts));
    const { page, close } = await openPage(browser, server.url);
    await page.goto(server.url);
    await ask(page, 'Hello');
    assert.equal(await page.getByRole('link', { name: 'Users' }).count(), 0);
    await page.goto(`${server.url}/login`);
    await page.getByText('open the link that mlxd printed').waitFor();
    await checkAccessibility(page, 'a server to be set up');
    await close();
  });

  it('makes the first account from the link that was printed', async (t) => {
    if (lacks(accounts)) return t.skip(lacks(accounts));
    admin = await openPage(browser, server.url, { allow: [/status of 4\d\d/] });
    const { page } = admin;
    await page.goto(`${server.url}/#setup=${server.setupToken}`);
    await page.waitForURL('**/login');
    assert.ok(!page.url().includes('setup='), 'the token stays in the address');
    await checkAccessibility(page, 'the first account');
    await picture(page, 'first-account');
    // Declined, it does not come again until the link does.
    await page.getByRole('button', { name: 'Stay without accounts' }).click();
    await page.waitForURL('**/chat');
    await page.goto(`${server.url}/models`);
    await page.locator('#content').getByText(MODEL).first().waitFor();
    await page.getByRole('link', { name: 'Users' }).waitFor();
    await page.goto(`${server.url}/login`);
    await fill(page, ADMIN);
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.waitForURL('**/chat');
    await page.getByRole('button', { name: 'Ada' }).waitFor();
  });

  it('turns strangers away from then on, and lets them ask for an account', async (t) => {
    if (lacks(accounts)) return t.skip(lacks(accounts));
    const { page, close } = await openPage(browser, server.url, { allow: [/status of 4\d\d/] });
    await page.goto(`${server.url}/models?q=x`);
    await page.waitForURL(/\/login\?next=%2Fmodels%3Fq%3Dx/);
    await picture(page, 'login');
    await checkAccessibility(page, 'the login');
    await fill(page, { email: ADMIN.email, password: 'wrong password' });
    await page.getByRole('button', { name: 'Log in', exact: true }).click();
    await page.getByRole('alert').waitFor();
    await page.getByRole('button', { name: 'Create an account' }).click();
    await fill(page, OTHER);
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.getByText('waits for an administrator').waitFor();
    await close();
  });

  it('shows who waits, and approves', async (t) => {
    if (lacks('GET /api/v1/users')) return t.skip(lacks('GET /api/v1/users'));
    const { page } = admin;
    await page.reload();
    await page.getByRole('link', { name: 'Users 1' }).click();
    await card(page, OTHER.email).getByRole('button', { name: 'Approve' }).click();
    await page.getByRole('button', { name: 'Approve' }).waitFor({ state: 'detached' });
    await checkAccessibility(page, 'users');
    await picture(page, 'users');
    const bob = await openPage(browser, server.url);
    await bob.page.goto(`${server.url}/login?next=//evil.example`);
    await fill(bob.page, { email: OTHER.email, password: OTHER.password });
    await bob.page.getByRole('button', { name: 'Log in', exact: true }).click();
    await bob.page.waitForURL(`${server.url}/chat`);
    assert.equal(await bob.page.getByRole('link', { name: 'Users' }).count(), 0);
    await bob.close();
  });

  it('keeps conversations on the server, for their owner, in every browser', async (t) => {
    if (lacks('POST /api/v1/chats')) return t.skip(lacks('POST /api/v1/chats'));
    const { page } = admin;
    await page.goto(`${server.url}/chat`);
    await ask(page, 'Who wrote Romeo and Juliet?');
    await ask(page, 'And Hamlet?');
    await page.waitForFunction(async () => (await (await fetch('/api/v1/chats')).json()).chats.length === 1);
    await page.getByRole('button', { name: 'Answer again' }).last().click();
    await page.getByRole('group', { name: 'Version 2 of 2' }).waitFor();
    await page.getByRole('button', { name: 'Stop', exact: true }).waitFor({ state: 'detached', timeout: 60_000 });
    await page.waitForTimeout(600);
    const url = page.url();
    const other = await openPage(browser, server.url, { allow: [/status of 4\d\d/] });
    await other.page.goto(`${server.url}/login`);
    await fill(other.page, { email: ADMIN.email, password: ADMIN.password });
    await other.page.getByRole('button', { name: 'Log in', exact: true }).click();
    await other.page.waitForURL('**/chat');
    await other.page.getByRole('link', { name: 'Who wrote Romeo and Juliet?' }).click();
    await other.page.waitForURL(url);
    await other.page.getByRole('group', { name: 'Version 2 of 2' }).waitFor();
    assert.equal(await other.page.getByRole('article').count(), 4);
    await other.page.getByRole('button', { name: 'Delete from here' }).last().click();
    await other.page.getByRole('group', { name: 'Version 2 of 2' }).waitFor({ state: 'detached' });
    await other.page.waitForTimeout(600);
    await other.page.reload();
    await other.page.getByRole('article').nth(3).waitFor();
    assert.equal(await other.page.getByRole('group', { name: /^Version/ }).count(), 0);
    await other.close();
  });

  it('keeps conversations in folders', async (t) => {
    if (lacks('POST /api/v1/chat-folders')) return t.skip(lacks('POST /api/v1/chat-folders'));
    const { page } = admin;
    await page.goto(`${server.url}/chat`);
    await ask(page, 'Which planet is red?');
    const link = page.getByRole('link', { name: 'Which planet is red?' });
    const menu = async (name, item) => {
      const button = page.getByRole('button', { name: `More: ${name}` });
      await button.focus();
      await button.click();
      await page.getByRole('menuitem', { name: item }).click();
    };
    await menu('Which planet is red?', 'Move to folder…');
    await page.getByRole('textbox', { name: 'Name of a new folder' }).fill('Space');
    await page.getByRole('button', { name: 'Create and move' }).click();
    const folder = page.getByRole('region', { name: 'Space' });
    await folder.getByRole('link', { name: 'Which planet is red?' }).waitFor();
    await checkAccessibility(page, 'chats in folders');
    await picture(page, 'chat-folders');
    await menu('Space', 'Rename folder');
    await page.getByRole('textbox', { name: 'Rename folder' }).fill('Stars');
    await page.keyboard.press('Enter');
    await page.getByRole('region', { name: 'Stars' }).waitFor();
    await page.waitForFunction(async () => (await (await fetch('/api/v1/chat-folders')).json()).folders[0].name === 'Stars');
    await page.reload();
    const kept = page.getByRole('region', { name: 'Stars' });
    await kept.getByRole('link', { name: 'Which planet is red?' }).waitFor();
    await kept.getByRole('button', { name: 'Stars', exact: true }).click();
    await link.waitFor({ state: 'detached' });
    await kept.getByRole('button', { name: /^Stars/ }).click();
    await menu('Stars', 'Delete folder, keep its chats');
    await kept.waitFor({ state: 'detached' });
    await link.waitFor();
  });

  it('makes a key that is shown once, works, and works no more once revoked', async (t) => {
    if (lacks('POST /api/v1/keys')) return t.skip(lacks('POST /api/v1/keys'));
    const { page } = admin;
    await page.goto(`${server.url}/keys`);
    await page.getByRole('button', { name: 'New key' }).click();
    await checkAccessibility(page, 'a new key');
    await page.getByLabel('Name').fill('laptop');
    await page.getByLabel('Requests a minute').fill('30');
    await picture(page, 'new-key');
    await page.getByRole('button', { name: 'Create' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('shown only this once').waitFor();
    const key = (await dialog.locator('code').innerText()).trim();
    const models = () => fetch(`${server.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
    assert.equal((await models()).status, 200);
    await dialog.getByRole('button', { name: 'Close' }).last().click();
    await card(page, 'laptop').waitFor();
    await picture(page, 'keys');
    await checkAccessibility(page, 'keys');
    assert.equal(await page.getByText(key).count(), 0);
    await page.getByRole('button', { name: 'Revoke: laptop' }).click();
    await page.getByRole('button', { name: 'Revoke', exact: true }).click();
    await card(page, 'laptop').waitFor({ state: 'detached' });
    assert.equal((await models()).status, 401);
  });

  it('keeps profiles, and their duplicates', async (t) => {
    if (lacks('POST /api/v1/profiles')) return t.skip(lacks('POST /api/v1/profiles'));
    const { page } = admin;
    await page.goto(`${server.url}/profiles`);
    await page.getByRole('button', { name: 'New profile' }).click();
    const form = page.getByRole('dialog');
    await form.getByLabel('Name').fill('pirate');
    await form.getByLabel('Model').fill(MODEL);
    await form.getByLabel('System prompt').fill('You are a pirate.');
    await page.getByText('Parameters', { exact: true }).click();
    await page.getByRole('spinbutton', { name: 'temperature' }).fill('0.5');
    await checkAccessibility(page, 'a profile');
    await picture(page, 'profile');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await card(page, 'pirate').waitFor();
    await page.getByRole('button', { name: 'More: pirate' }).click();
    await page.getByRole('menuitem', { name: 'Duplicate' }).click();
    await card(page, 'pirate 2').waitFor();
    await checkAccessibility(page, 'profiles');
    await picture(page, 'profiles');
  });

  it('changes a setting, says what is wrong with another, and puts it back', async (t) => {
    if (lacks('PATCH /api/v1/settings')) return t.skip(lacks('PATCH /api/v1/settings'));
    const { page } = admin;
    await page.goto(`${server.url}/settings`);
    const level = page.getByLabel('log-level', { exact: true });
    await level.selectOption('warn');
    await page.getByText('log-level is changed.').waitFor();
    await page.reload();
    assert.equal(await level.inputValue(), 'warn');
    await page.getByRole('button', { name: /Back to the default: log-level/ }).click();
    await page.getByRole('button', { name: /Back to the default: log-level/ }).waitFor({ state: 'detached' });
    await page.getByLabel('memory', { exact: true }).fill('xyz');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').filter({ hasText: 'memory' }).waitFor();
    await checkAccessibility(page, 'the settings');
    await picture(page, 'settings-server');
  });

  it('shows models with their facts and the memory they need', async (t) => {
    if (lacks('GET /api/v1/models/{id...}')) return t.skip(lacks('GET /api/v1/models/{id...}'));
    const { page } = admin;
    await page.goto(`${server.url}/models`);
    await page.getByRole('button', { name: MODEL, exact: true }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('Fits here').waitFor();
    const before = await dialog.getByRole('meter').getAttribute('aria-valuenow');
    await dialog.getByRole('slider').fill('10');
    await page.waitForFunction((old) => document.querySelector('[role=dialog] [role=meter]').getAttribute('aria-valuenow') !== old, before);
    await checkAccessibility(page, 'a model');
    await picture(page, 'model');
    await page.keyboard.press('Escape');
  });

  it('shows the pool with its budget, pins and unpins', async (t) => {
    if (lacks('GET /api/v1/servers')) return t.skip(lacks('GET /api/v1/servers'));
    const { page } = admin;
    await page.goto(`${server.url}/running`);
    const tile = page.getByRole('article', { name: MODEL });
    await tile.getByText('Weights').waitFor();
    await tile.getByRole('button', { name: /^More/ }).click();
    await page.getByRole('menuitem', { name: 'Pin' }).click();
    await tile.getByText('Pinned').waitFor();
    await checkAccessibility(page, 'the pool');
    await picture(page, 'running-pool');
    await tile.getByRole('button', { name: /^More/ }).click();
    await page.getByRole('menuitem', { name: 'Unpin' }).click();
    await tile.getByText('Pinned').waitFor({ state: 'detached' });
  });

  it('changes the password and logs out', async (t) => {
    if (lacks(accounts)) return t.skip(lacks(accounts));
    const { page } = admin;
    await page.goto(`${server.url}/account`);
    await page.getByText('This one').waitFor();
    await checkAccessibility(page, 'the account');
    await picture(page, 'account');
    await page.getByLabel('Current password').fill(ADMIN.password);
    await page.getByLabel('New password').fill('another long password');
    await page.getByRole('button', { name: 'Change password' }).click();
    await page.getByText('The password is changed.').waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.waitForURL('**/login');
    await page.goto(`${server.url}/chat`);
    await page.waitForURL(/\/login/);
    await admin.close();
  });
});
