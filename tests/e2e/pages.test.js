// Every other page that the server's API allows, in all sizes and colours, and the way through them.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { checkAccessibility, DESKTOP, MODEL, noBrowser, openPage, PHONE, picture, startBrowser, startServer } from './harness.js';

describe('the pages', { skip: noBrowser }, () => {
  let server;
  let browser;
  before(async () => {
    server = await startServer();
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  const PAGES = { models: MODEL, running: MODEL, connect: 'Base URL', settings: 'Language' };
  for (const [name, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    for (const dark of [false, true]) {
      it(`stand on a ${name} in ${dark ? 'dark' : 'light'}, with nothing for axe`, async () => {
        const { page, close } = await openPage(browser, server.url, { viewport, dark });
        for (const [id, text] of Object.entries(PAGES)) {
          await page.goto(`${server.url}/${id}`);
          await page.locator('#content').getByText(text).first().waitFor();
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          assert.equal(overflow, 0, `${id} is wider than the screen`);
          await checkAccessibility(page, id);
          await picture(page, `${id}-${name}-${dark ? 'dark' : 'light'}`);
        }
        await close();
      });
    }
  }

  it('show what the server measures', async () => {
    const { page, close } = await openPage(browser, server.url);
    await page.goto(`${server.url}/running`);
    const tile = page.getByRole('article', { name: MODEL });
    await tile.waitFor();
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    const weights = Number(/^mlxd_weight_bytes\{[^}]*\} (\S+)/m.exec(metrics)[1]);
    assert.match(await tile.innerText(), new RegExp(`Weights\\s+${Math.round(weights / 1e6)}`));
    await close();
  });

  it('lead from one to the other by mouse, on a phone too', async () => {
    const { page, close } = await openPage(browser, server.url, { viewport: PHONE });
    await page.goto(server.url);
    await page.waitForURL('**/chat');
    await page.getByRole('link', { name: 'Models' }).click();
    await page.waitForURL('**/models');
    await page.getByRole('button', { name: 'Chat', exact: true }).first().click();
    await page.waitForURL(/\/chat/);
    await page.getByRole('button', { name: 'Menu' }).click();
    await page.getByRole('dialog').getByRole('link', { name: 'API', exact: true }).click();
    await page.waitForURL('**/connect');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await close();
  });

  it('lead from one to the other by keys, of which there is a list', async () => {
    const { page, close } = await openPage(browser, server.url);
    await page.goto(`${server.url}/running`);
    await page.getByRole('article', { name: MODEL }).waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).getByText('Go to Models').waitFor();
    await checkAccessibility(page, 'the keys');
    await picture(page, 'shortcuts');
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.keyboard.press('g');
    await page.keyboard.press('m');
    await page.waitForURL('**/models');
    await page.keyboard.press('/');
    await page.keyboard.type('?gr');
    assert.equal(await page.getByRole('searchbox', { name: 'Search models' }).inputValue(), '?gr');
    await page.goto(`${server.url}/settings`);
    await page.getByRole('switch', { name: 'Keys of one letter' }).click();
    await page.locator('#content').focus();
    await page.keyboard.press('?');
    assert.equal(await page.getByRole('dialog').count(), 0);
    await close();
  });

  it('keep a search in the address', async () => {
    const { page, close } = await openPage(browser, server.url);
    await page.goto(`${server.url}/models`);
    await page.getByRole('searchbox', { name: 'Search models' }).fill('nothing-like-that');
    await page.getByText('No model has this.').waitFor();
    assert.match(page.url(), /\?q=nothing-like-that/);
    await page.reload();
    await page.getByText('No model has this.').waitFor();
    await page.getByRole('searchbox', { name: 'Search models' }).fill('smollm');
    await page.getByText(MODEL).first().waitFor();
    await close();
  });

  it('speak German where the browser does, and the other language where it is chosen', async () => {
    const { page, close } = await openPage(browser, server.url, { locale: 'de-DE' });
    await page.goto(`${server.url}/settings`);
    await page.getByRole('heading', { name: 'Einstellungen' }).waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.lang), 'de');
    await picture(page, 'settings-german');
    await page.getByText('English').click();
    await page.getByRole('heading', { name: 'Settings' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'Settings' }).waitFor();
    await close();
  });

  it('take the theme that is chosen, before the first paint', async () => {
    const { page, close } = await openPage(browser, server.url);
    await page.goto(`${server.url}/settings`);
    await page.getByText('Dark', { exact: true }).click();
    assert.equal(await page.evaluate(() => document.documentElement.classList.contains('dark')), true);
    await page.goto(`${server.url}/settings`, { waitUntil: 'commit' });
    await page.waitForFunction(() => document.body !== null);
    assert.equal(await page.evaluate(() => document.documentElement.classList.contains('dark')), true);
    await close();
  });

  it('try a request and show the answer with its status', async () => {
    const { page, close } = await openPage(browser, server.url);
    await page.goto(`${server.url}/connect`);
    await page.getByRole('textbox', { name: 'JSON' }).fill(JSON.stringify({ model: MODEL, max_tokens: 3, messages: [{ role: 'user', content: 'Hi' }] }));
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await page.getByText(/^200 after/).waitFor({ timeout: 60_000 });
    await page.getByText('"chat.completion"').waitFor();
    await close();
  });

  it('tell of a page that does not exist', async () => {
    const { page, close } = await openPage(browser, server.url);
    await page.goto(`${server.url}/chat/there-is-none`);
    await page.getByText('This chat is not here.').waitFor();
    await checkAccessibility(page, 'a chat that is gone');
    await close();
  });

  it('show no page whose API this server lacks', async () => {
    const routes = await server.routes();
    const { page, close } = await openPage(browser, server.url);
    await page.goto(`${server.url}/settings`);
    await page.getByRole('heading', { name: 'Settings' }).waitFor();
    const nav = page.getByRole('navigation', { name: 'Pages' });
    for (const [name, route] of Object.entries({ Profiles: 'GET /api/v1/profiles', Running: 'GET /metrics', Models: 'GET /v1/models' }))
      assert.equal(await nav.getByRole('link', { name }).count(), routes.includes(route) ? 1 : 0, name);
    await close();
  });
});
