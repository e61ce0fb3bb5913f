// Jobs over models from where the models are: begun, watched, read, refused and ended. Skipped on a server without them.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { checkAccessibility, MODEL, noBrowser, openPage, PHONE, picture, startBrowser, startServer } from './harness.js';

const MADE = 'demo-plain';

describe('jobs', { skip: noBrowser }, () => {
  let server;
  let browser;
  let lacking;
  let page;
  let close;
  before(async () => {
    server = await startServer();
    browser = await startBrowser();
    lacking = !(await server.routes()).includes('GET /api/v1/jobs/kinds') && 'this server has no GET /api/v1/jobs/kinds';
    ({ page, close } = await openPage(browser, server.url, { allow: [/status of 4\d\d/] }));
    await page.goto(`${server.url}/#setup=${server.setupToken}`);
    await page.waitForURL('**/login');
    await page.getByRole('button', { name: 'Stay without accounts' }).click();
    await page.waitForURL('**/chat');
  });
  after(async () => {
    await close?.();
    await browser?.close();
    await server?.stop();
  });

  const dialog = () => page.getByRole('dialog');
  const card = (name) => page.getByRole('article', { name });
  async function begin(item) {
    await page.goto(`${server.url}/models`);
    await page.getByRole('button', { name: `More: ${MODEL}`, exact: true }).click();
    await page.getByRole('menuitem', { name: item }).click();
    await dialog().waitFor();
  }

  it('are none at first', async (t) => {
    if (lacking) return t.skip(lacking);
    await page.goto(`${server.url}/jobs`);
    await page.getByText('No jobs yet.').waitFor();
    await checkAccessibility(page, 'no jobs');
    await picture(page, 'jobs-none');
  });

  it('convert a model, which can be asked then', async (t) => {
    if (lacking) return t.skip(lacking);
    await begin('Convert…');
    assert.equal(await dialog().getByLabel('Model', { exact: true }).inputValue(), MODEL);
    await dialog().getByLabel('Name of the new model').fill(MODEL);
    await dialog().getByRole('switch', { name: 'Plain floats' }).click();
    await dialog().getByRole('button', { name: 'Begin' }).click();
    // The name is taken, which stands beside its field.
    await dialog().getByText(/already/).waitFor();
    await checkAccessibility(page, 'a job that is refused');
    await picture(page, 'job-convert');
    await dialog().getByLabel('Name of the new model').fill(MADE);
    await dialog().getByRole('button', { name: 'Begin' }).click();
    await page.getByText('Conversion has begun.').waitFor();
    await page.goto(`${server.url}/jobs`);
    const job = card(`Conversion: ${MODEL}`);
    await job.getByText('Done').waitFor({ timeout: 120_000 });
    await checkAccessibility(page, 'jobs');
    await picture(page, 'jobs');
    await job.getByRole('button', { name: `Conversion: ${MODEL}`, exact: true }).click();
    await dialog().getByRole('heading', { name: 'Result' }).waitFor();
    await dialog().getByText(MADE).first().waitFor();
    await checkAccessibility(page, 'a job');
    await picture(page, 'job');
    await page.keyboard.press('Escape');
    await job.getByRole('button', { name: 'Chat' }).click();
    await page.getByRole('textbox', { name: `Message ${MADE}` }).waitFor();
  });

  it('measure, and are ended', async (t) => {
    if (lacking) return t.skip(lacking);
    await begin('Measure speed…');
    await dialog().getByLabel('Rounds').fill('many');
    await dialog().getByRole('button', { name: 'Begin' }).click();
    await dialog().getByText('Must be a whole number.').waitFor();
    await dialog().getByLabel('Rounds').fill('50');
    await dialog().getByRole('button', { name: 'Begin' }).click();
    await page.getByText('Benchmark has begun.').waitFor();
    await page.goto(`${server.url}/jobs`);
    const job = card(`Benchmark: ${MODEL}`);
    await job.getByText('Runs').waitFor({ timeout: 60_000 });
    await job.getByRole('button', { name: /^Cancel/ }).click();
    await job.getByText('Cancelled', { exact: true }).waitFor({ timeout: 60_000 });
    await job.getByRole('button', { name: /^Once more/ }).click();
    assert.equal(await dialog().getByLabel('Rounds').inputValue(), '50');
    await page.keyboard.press('Escape');
    await job.getByRole('button', { name: /^Remove from the list/ }).click();
    await job.waitFor({ state: 'detached' });
  });

  it('say what is wrong with a file', async (t) => {
    if (lacking) return t.skip(lacking);
    await page.goto(`${server.url}/models`);
    await page.getByRole('button', { name: 'Import a GGUF' }).click();
    await dialog().getByLabel('File').fill('/there/is/none.gguf');
    await dialog().getByRole('button', { name: 'Begin' }).click();
    await dialog().getByText(/no file/).waitFor();
    await page.keyboard.press('Escape');
  });

  it('stand on a phone', async (t) => {
    if (lacking) return t.skip(lacking);
    await page.setViewportSize(PHONE);
    await page.goto(`${server.url}/jobs`);
    await card(`Conversion: ${MODEL}`).waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0);
    await checkAccessibility(page, 'jobs on a phone');
    await picture(page, 'jobs-phone');
  });
});
