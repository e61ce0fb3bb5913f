// /docs, which shows the document of the API: in all sizes and colours, by search, and by trying a route.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { checkAccessibility, DESKTOP, MODEL, noBrowser, openPage, PHONE, picture, startBrowser, startServer } from './harness.js';

describe('the page of the API', { skip: noBrowser }, () => {
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

  for (const [name, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    for (const dark of [false, true]) {
      it(`stands on a ${name} in ${dark ? 'dark' : 'light'}, with nothing for axe`, async () => {
        const { page, close } = await openPage(browser, server.url, { viewport, dark });
        await page.goto(`${server.url}/docs`);
        await page.getByText(/^\d+ routes$/).waitFor();
        await page.locator('#post-v1-chat-completions summary').click();
        await page.locator('#post-v1-chat-completions').getByText('max_completion_tokens').first().waitFor();
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.equal(overflow, 0, 'it is wider than the screen');
        await checkAccessibility(page, 'docs');
        await picture(page, `docs-${name}-${dark ? 'dark' : 'light'}`);
        await close();
      });
    }
  }

  it('finds routes by their fields, and says how many', async () => {
    const { page, close } = await openPage(browser, server.url);
    await page.goto(`${server.url}/docs`);
    const all = Number(/\d+/.exec(await page.getByText(/^\d+ routes$/).innerText())[0]);
    assert.ok(all > 80);
    await page.getByRole('searchbox').fill('repeat_last_n');
    await page.getByText(`2 of ${all} routes`).waitFor();
    assert.ok(await page.locator('#post-api-generate').isVisible());
    await page.getByRole('searchbox').fill('min_p v1/messages');
    await page.getByText(`2 of ${all} routes`).waitFor();
    assert.ok(await page.locator('#post-v1-messages').isVisible());
    assert.ok(!(await page.locator('#get-healthz').isVisible()));
    await close();
  });

  it('opens the route or type that its address names', async () => {
    const { page, close } = await openPage(browser, server.url);
    await page.goto(`${server.url}/docs#type-ChatMessage`);
    await page.locator('#type-ChatMessage').getByText('tool_call_id').waitFor();
    await close();
  });

  it('tries a route', async () => {
    const { page, close } = await openPage(browser, server.url);
    await page.goto(`${server.url}/docs#post-v1-completions`);
    const route = page.locator('#post-v1-completions');
    await route.getByLabel('body').fill(JSON.stringify({ model: MODEL, prompt: 'The capital of France is', max_tokens: 8 }));
    await route.getByRole('button', { name: 'Send' }).click();
    await route.getByText('200 OK').waitFor();
    assert.match(await route.locator('output pre').innerText(), /"text_completion"/);
    await close();
  });
});
