// A person who has never seen it: from an empty state folder to an answer, with the mouse alone and with the keyboard
// alone. Nothing here knows more than what is on the screen: the mouse presses what is seen, the keyboard goes on from
// where the focus is.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { checkAccessibility, DESKTOP, MODEL, noBrowser, openPage, PHONE, picture, startBrowser, startEmptyServer, startHub } from './harness.js';

const BYTES_PER_S = 60_000_000;
const MOST_TABS = 40;

describe('the first run', { skip: noBrowser }, () => {
  let hub;
  let server;
  let browser;
  before(async () => {
    browser = await startBrowser();
    hub = await startHub(BYTES_PER_S);
  });
  beforeEach(async () => {
    server = await startEmptyServer(hub.url);
  });
  afterEach(async () => {
    await server?.stop();
  });
  after(async () => {
    await browser?.close();
    await hub?.stop();
  });

  const setupLink = () => `${server.url}/#setup=${server.setupToken}`;
  const answerOf = (page) => page.getByRole('article', { name: /^Answer of/ }).and(page.locator('[aria-busy="false"]'));
  const composer = (page) => page.getByRole('textbox', { name: `Message demo/${MODEL}` });

  // What has the focus, as a reader of the screen is told it; the text of what has no name.
  const focused = (page) =>
    page.evaluate(() => {
      const element = document.activeElement;
      if (element === null || element === document.body) return null;
      const label = element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? element.textContent ?? '';
      return label.trim().replace(/\s+/g, ' ');
    });
  // A focus that one cannot see is none: an outline, or another look of the element or of the frame around it.
  const focusIsVisible = (page) =>
    page.evaluate(async () => {
      const element = document.activeElement;
      const box = element.getBoundingClientRect();
      if (box.width === 0 || box.bottom < 0 || box.top > innerHeight) return false;
      const looks = (each) => {
        const style = getComputedStyle(each);
        return [style.outlineStyle !== 'none' && style.outlineWidth !== '0px', style.borderColor, style.boxShadow, style.backgroundColor].join('|');
      };
      const around = [element, element.parentElement, element.nextElementSibling].filter(Boolean);
      const now = around.map(looks);
      element.blur();
      // Looks may change by a transition.
      await new Promise((resolve) => setTimeout(resolve, 400));
      const without = around.map(looks);
      element.focus({ focusVisible: true });
      return now.some((look, i) => look !== without[i]);
    });
  /** Tab until the focus is at what is called so; each stop on the way must be seen. */
  async function tabTo(page, name) {
    const stops = [];
    for (let i = 0; i < MOST_TABS; i++) {
      const here = await focused(page);
      if (here !== null && name.test(here)) {
        assert.ok(await focusIsVisible(page), `the focus at "${here}" is not to be seen`);
        return stops;
      }
      stops.push(here);
      await page.keyboard.press('Tab');
    }
    assert.fail(`Tab does not come to ${name}; it comes to:\n${stops.join('\n')}`);
  }
  const noSideways = async (page, where) =>
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0, `${where} is wider than the screen`);

  for (const [name, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    it(`goes to an answer with the mouse alone, on a ${name}`, async () => {
      const { page, close } = await openPage(browser, server.url, { viewport });
      const press = (locator) => (viewport === PHONE ? locator.tap() : locator.click());
      const see = async (step) => {
        await noSideways(page, step);
        await checkAccessibility(page, step);
        await picture(page, `first-run-${step}-${name}`);
      };
      await page.goto(setupLink());
      await page.getByRole('heading', { name: 'Set up this server' }).waitFor();
      await see('1-account');
      await press(page.getByRole('button', { name: 'Stay without accounts' }));

      await page.getByRole('heading', { name: 'Choose a model' }).waitFor();
      const best = page.getByRole('listitem').filter({ hasText: 'Recommended' });
      await best.waitFor();
      assert.match(await best.innerText(), new RegExp(`${MODEL}[^]*4-bit[^]*\\d MB`));
      for (const other of ['org/gated', 'org/huge', 'org/foreign']) assert.equal(await page.getByText(other).count(), 0, `${other} is offered`);
      await see('2-model');
      await press(best.getByRole('button', { name: 'Download and chat' }));

      const meter = page.getByRole('meter', { name: `demo/${MODEL}` });
      await meter.waitFor();
      await page.getByText(/MB \/ \d+/).waitFor();
      await see('3-download');
      await page.waitForFunction((name) => document.querySelector(`[role=meter][aria-label="${name}"]`)?.ariaValueText !== '0%', `demo/${MODEL}`);

      await composer(page).waitFor({ timeout: 60_000 });
      await see('4-chat');
      await press(composer(page));
      await page.keyboard.type('Who wrote Romeo and Juliet?');
      await press(page.getByRole('button', { name: 'Send', exact: true }));
      await answerOf(page).waitFor({ timeout: 60_000 });
      assert.match(await answerOf(page).innerText(), /\w{3}/);
      await see('5-answer');
      await close();
    });
  }

  it('goes to an answer with the keyboard alone, without an account', async () => {
    const { page, close } = await openPage(browser, server.url);
    await page.goto(setupLink());
    await page.getByRole('heading', { name: 'Set up this server' }).waitFor();
    assert.equal(await focused(page), 'Name', 'where one writes first');
    assert.deepEqual(await tabTo(page, /^Stay without accounts$/), ['Name', 'E-mail', 'Password', 'Create account']);
    await page.keyboard.press('Enter');

    await page.getByText('Recommended').waitFor();
    await page.waitForFunction(() => document.activeElement?.textContent?.includes('Download and chat'));
    assert.ok(await focusIsVisible(page));
    await page.keyboard.press('Enter');

    await page.getByRole('meter').waitFor();
    await page.waitForFunction(() => /is on its way$/.test(document.activeElement?.textContent?.trim() ?? ''));
    await tabTo(page, /^Pause/);
    await page.keyboard.press('Enter');
    await tabTo(page, /^Resume/);
    await page.keyboard.press('Enter');

    await composer(page).waitFor({ timeout: 60_000 });
    await page.waitForFunction(() => document.activeElement instanceof HTMLTextAreaElement);
    assert.ok(await focusIsVisible(page));
    await page.keyboard.type('Who wrote Romeo and Juliet?');
    await page.keyboard.press('Enter');
    await answerOf(page).waitFor({ timeout: 60_000 });
    await page.waitForFunction(() => document.activeElement instanceof HTMLTextAreaElement, null);
    await close();
  });

  it('goes to an answer with the keyboard alone, with an account', async () => {
    const { page, close } = await openPage(browser, server.url);
    await page.goto(setupLink());
    await page.getByRole('heading', { name: 'Set up this server' }).waitFor();
    await page.keyboard.type('Ada');
    await page.keyboard.press('Tab');
    await page.keyboard.type('ada@example.org');
    await page.keyboard.press('Tab');
    await page.keyboard.type('correct horse battery');
    await page.keyboard.press('Enter');
    await page.getByText('Recommended').waitFor();
    await page.waitForFunction(() => document.activeElement?.textContent?.includes('Download and chat'));
    await page.keyboard.press('Enter');
    await composer(page).waitFor({ timeout: 60_000 });
    await page.waitForFunction(() => document.activeElement instanceof HTMLTextAreaElement);
    await page.keyboard.type('Hello');
    await page.keyboard.press('Enter');
    await answerOf(page).waitFor({ timeout: 60_000 });
    // Commands, a page and back, without the mouse.
    await page.keyboard.press('Control+k');
    await page.keyboard.type('Models');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/models');
    await page.getByText(`demo/${MODEL}`).first().waitFor();
    await page.keyboard.press('Control+Shift+o');
    await page.waitForURL('**/chat');
    await page.waitForFunction(() => document.activeElement instanceof HTMLTextAreaElement);
    await close();
  });

  it('says to one without the link how a model comes', async () => {
    const { page, close } = await openPage(browser, server.url);
    await page.goto(server.url);
    await page.getByText('open the link that mlxd printed').waitFor();
    await checkAccessibility(page, 'no model and no right to get one');
    await picture(page, 'first-run-without-link');
    await close();
  });

  it('says what is wrong while the hub cannot be asked, and goes on when it can', async () => {
    await server.stop();
    const absent = await startHub(BYTES_PER_S);
    await absent.stop();
    server = await startEmptyServer(absent.url);
    const { page, close } = await openPage(browser, server.url, { allow: [/status of 5\d\d/] });
    await page.goto(setupLink());
    await page.getByRole('button', { name: 'Stay without accounts' }).click();
    await page.getByText('Hugging Face cannot be asked').waitFor({ timeout: 60_000 });
    await checkAccessibility(page, 'no hub');
    await picture(page, 'first-run-no-hub');
    await close();
  });
});
