// What the management API offers beyond what manage.test.js goes through, done in the page: the table in
// docs/guides/web-interface.md says where each route is.
import assert from 'node:assert/strict';
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ask, checkAccessibility, MODEL, noBrowser, openPage, picture, startBrowser, startHub, startServerWithHub } from './harness.js';

const ADMIN = { email: 'ada@example.org', password: 'correct horse battery' };
const REPOSITORY = `demo/${MODEL}`;

describe('what the API offers', { skip: noBrowser }, () => {
  let hub;
  let server;
  let browser;
  let page;
  let close;
  let added;
  before(async () => {
    added = await mkdtemp(path.join(tmpdir(), 'mlxd-added-'));
    browser = await startBrowser();
    hub = await startHub(400_000_000);
    server = await startServerWithHub(hub.url, '--models-folder', added);
    ({ page, close } = await openPage(browser, server.url, { allow: [/status of 4\d\d/] }));
    await page.goto(`${server.url}/#setup=${server.setupToken}`);
    await page.waitForURL('**/login');
    await page.getByLabel('Name').fill('Ada');
    await page.getByLabel('E-mail').fill(ADMIN.email);
    await page.getByLabel('Password').fill(ADMIN.password);
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.waitForURL('**/chat');
  });
  after(async () => {
    await close?.();
    await browser?.close();
    await server?.stop();
    await hub?.stop();
    await rm(added, { recursive: true });
  });

  const row = (name) => page.locator('#content li').filter({ hasText: name });
  const dialog = () => page.getByRole('dialog');
  const api = (path) => page.evaluate(async (from) => (await fetch(from)).json(), path);
  async function menu(name, item) {
    const button = page.getByRole('button', { name: `More: ${name}`, exact: true });
    await button.focus();
    await button.click();
    await page.getByRole('menuitem', { name: item }).click();
  }

  it('makes, names and removes an account, and gives it another password', async () => {
    await page.goto(`${server.url}/users`);
    await page.getByRole('button', { name: 'New account' }).click();
    await dialog().getByLabel('Name').fill('Eve');
    await dialog().getByLabel('E-mail').fill('eve@example.org');
    await dialog().getByLabel('Password').fill('a long password');
    await dialog().getByLabel('Role').selectOption('viewer');
    await checkAccessibility(page, 'a new account');
    await picture(page, 'new-account');
    await dialog().getByRole('button', { name: 'Create' }).click();
    await row('eve@example.org').waitFor();
    await menu('eve@example.org', 'Change the name');
    await dialog().getByLabel('Name').fill('Evelyn');
    await dialog().getByRole('button', { name: 'Save' }).click();
    await row('Evelyn').waitFor();
    await menu('eve@example.org', 'Set a new password');
    await dialog().getByLabel('New password').fill('another long password');
    await dialog().getByRole('button', { name: 'Save' }).click();
    await page.getByText('The password is changed.').waitFor();
    const login = (password) => fetch(`${server.url}/api/v1/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ email: 'eve@example.org', password, cookie: false }) });
    assert.equal((await login('a long password')).status, 401);
    assert.equal((await login('another long password')).status, 200);
    await menu('eve@example.org', 'Delete');
    await dialog().getByRole('button', { name: 'Delete' }).click();
    await page.getByText('eve@example.org is deleted, with 0 API keys and 0 chats.').waitFor();
    await row('eve@example.org').waitFor({ state: 'detached' });
  });

  it('limits a key, and shows what it was used for', async () => {
    await page.goto(`${server.url}/keys`);
    await page.getByRole('button', { name: 'New key' }).click();
    await dialog().getByLabel('Name').fill('script');
    await dialog().getByLabel('Tokens a month').fill('1000');
    await dialog().getByText('More', { exact: true }).click();
    await dialog().getByLabel('Endpoints').fill('/v1/chat/completions');
    await dialog().getByLabel('Cache group').fill('apart');
    await checkAccessibility(page, 'all of a key');
    await dialog().getByRole('button', { name: 'Create' }).click();
    const key = (await dialog().locator('code').innerText()).trim();
    await dialog().getByRole('button', { name: 'Close' }).last().click();
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ model: MODEL, max_tokens: 3, messages: [{ role: 'user', content: 'Hi' }] });
    const answer = await fetch(`${server.url}/v1/chat/completions`, { method: 'POST', headers, body });
    const { usage } = await answer.json();
    const other = await fetch(`${server.url}/v1/completions`, { method: 'POST', headers, body: JSON.stringify({ model: MODEL, prompt: 'Hi', max_tokens: 1 }) });
    assert.equal(other.status, 403);
    // Counted when the request ends, which may be just after its answer.
    await page.waitForFunction(async () => {
      const [{ id }] = (await (await fetch('/api/v1/keys')).json()).keys;
      return (await (await fetch(`/api/v1/keys/${id}/usage`)).json()).usage.length > 0;
    });
    await page.getByRole('button', { name: 'Usage: script' }).click();
    await dialog().getByRole('meter', { name: 'Tokens a month' }).waitFor();
    const cells = await dialog().locator('tbody tr').first().locator('td').allInnerTexts();
    assert.deepEqual(cells, ['1', String(usage.prompt_tokens), String(usage.completion_tokens)]);
    await checkAccessibility(page, 'the usage of a key');
    await picture(page, 'key-usage');
    await page.keyboard.press('Escape');
  });

  it('gives a profile out as a file, and takes it back', async () => {
    await page.goto(`${server.url}/profiles`);
    await page.getByRole('button', { name: 'New profile' }).click();
    await dialog().getByLabel('Name').fill('poet');
    await dialog().getByLabel('Model').fill(MODEL);
    await dialog().getByLabel('System prompt').fill('Write in verse.');
    await dialog().getByRole('button', { name: 'Save', exact: true }).click();
    await row('poet').waitFor();
    const [download] = await Promise.all([page.waitForEvent('download'), menu('poet', 'Export as TOML')]);
    const toml = await readFile(await download.path(), 'utf8');
    assert.match(toml, /Write in verse/);
    await page.locator('input[type=file][accept^=".toml"]').setInputFiles({ name: 'sage.toml', mimeType: 'application/toml', buffer: Buffer.from(toml.replace('poet', 'sage')) });
    await page.getByText('The profile sage is imported.').waitFor();
    assert.equal((await api('/api/v1/profiles/sage')).defaults.system, 'Write in verse.');
  });

  it('gives a model another name, which is a model’s then, and takes it away', async () => {
    await page.goto(`${server.url}/profiles`);
    const names = page.getByRole('region', { name: 'Other names' });
    await names.getByLabel('Other name').fill('gpt-4o');
    await names.getByLabel('Model or profile').fill('poet');
    await names.getByRole('button', { name: 'Add' }).click();
    await names.getByText('gpt-4o', { exact: true }).waitFor();
    assert.ok((await api('/v1/models')).data.some((model) => model.id === 'gpt-4o'));
    assert.deepEqual((await api('/api/v1/aliases')).aliases, [{ name: 'gpt-4o', model: 'poet' }]);
    await checkAccessibility(page, 'profiles and other names');
    await picture(page, 'profiles-aliases');
    await names.getByRole('button', { name: 'Delete: gpt-4o' }).click();
    await page.getByText('The name gpt-4o is removed.').waitFor();
    assert.deepEqual((await api('/api/v1/aliases')).aliases, []);
  });

  it('sets what memory models may have, and says what is wrong with it', async () => {
    await page.goto(`${server.url}/running`);
    await page.getByRole('button', { name: 'Memory of the models' }).click();
    await dialog().getByLabel('Budget').fill('lots');
    await dialog().getByRole('button', { name: 'Save' }).click();
    await dialog().getByText(/memory/).first().waitFor();
    await checkAccessibility(page, 'the pool’s settings');
    await picture(page, 'pool-settings');
    await dialog().getByLabel('Budget').fill('3GB');
    await dialog().getByLabel('What goes').selectOption('lfu');
    await dialog().getByLabel('Stays loaded').fill('7m');
    await dialog().getByRole('button', { name: 'Save' }).click();
    await dialog().waitFor({ state: 'detached' });
    const { budget, settings } = await api('/api/v1/servers');
    assert.deepEqual([budget.from, settings.eviction, settings.keep_alive_s], ['setting', 'lfu', 420]);
  });

  it('finds a model at the hub, with its files and other quantizations, and downloads it', async () => {
    await page.goto(`${server.url}/models?place=hub`);
    await page.getByLabel('Author').fill('demo');
    await page.getByText('org/foreign').waitFor({ state: 'detached' });
    await page.getByLabel('Order').selectOption('downloads');
    await page.getByRole('button', { name: REPOSITORY, exact: true }).click();
    await dialog().getByText('Fits here').waitFor();
    await dialog().getByText(/^\d+ files$/).click();
    await dialog().getByText('tokenizer.json', { exact: true }).waitFor();
    await dialog().getByText('Other quantizations').click();
    await dialog().getByText('Hugging Face tells of no other.').waitFor();
    await dialog().getByText('Choose revision and files').click();
    await dialog().getByLabel('Revision').fill('no-such');
    await dialog().getByLabel('Revision').press('Tab');
    await dialog().getByRole('alert').waitFor();
    await dialog().getByLabel('Revision').fill('main');
    await dialog().getByLabel('Revision').press('Tab');
    await dialog().getByRole('alert').waitFor({ state: 'detached' });
    await checkAccessibility(page, 'a model of the hub');
    await picture(page, 'hub-model');
    await dialog().getByRole('button', { name: 'Download' }).click();
    await page.getByText(`${REPOSITORY} is downloaded.`).waitFor({ timeout: 60_000 });
    await page.goto(`${server.url}/models`);
    await page.getByRole('button', { name: REPOSITORY, exact: true }).click();
    await dialog().getByText(/^Revision/).click();
    await dialog().getByText('tokenizer.json', { exact: true }).waitFor();
    await checkAccessibility(page, 'a model with its files');
    await page.keyboard.press('Escape');
  });

  it('loads it for a time of one’s choice', async () => {
    await page.goto(`${server.url}/running`);
    await page.getByRole('button', { name: 'Load a model' }).click();
    await page.keyboard.type('demo');
    await page.keyboard.press('Enter');
    await dialog().getByLabel('Stays loaded').fill('9m');
    await checkAccessibility(page, 'loading a model');
    await picture(page, 'load-model');
    await dialog().getByRole('button', { name: 'Load a model' }).click();
    const tile = page.getByRole('article', { name: REPOSITORY });
    await tile.getByText(/Unloads in/).waitFor({ timeout: 60_000 });
    assert.ok((await api(`/api/v1/servers/${REPOSITORY}`)).keep_alive_left_s > 420);
    await menu(REPOSITORY, 'Unload');
    await tile.waitFor({ state: 'detached' });
  });

  it('says what needs a model before it is deleted', async () => {
    await page.goto(`${server.url}/profiles`);
    await page.getByRole('button', { name: 'New profile' }).click();
    await dialog().getByLabel('Name').fill('bard');
    await dialog().getByLabel('Model').fill(REPOSITORY);
    await dialog().getByRole('button', { name: 'Save', exact: true }).click();
    await row('bard').waitFor();
    await page.goto(`${server.url}/models`);
    await menu(REPOSITORY, 'Delete');
    await dialog().getByText('Profile bard').waitFor();
    await checkAccessibility(page, 'deleting what others need');
    await picture(page, 'delete-model');
    await dialog().getByRole('button', { name: 'Delete' }).click();
    await page.getByText(`${REPOSITORY} is deleted`).waitFor();
    await page.getByRole('button', { name: REPOSITORY, exact: true }).waitFor({ state: 'detached' });
  });

  it('says where a model of an added folder lies before it is deleted', async () => {
    const folder = path.join(added, 'borrowed');
    await mkdir(folder);
    await writeFile(path.join(folder, 'config.json'), JSON.stringify({ model_type: 'llama', hidden_size: 64, num_hidden_layers: 2 }));
    await writeFile(path.join(folder, 'model.safetensors'), Buffer.from('\x02\0\0\0\0\0\0\0{}'));
    await page.goto(`${server.url}/models`);
    await page.getByRole('button', { name: 'borrowed', exact: true }).waitFor();
    await menu('borrowed', 'Delete');
    await dialog().getByText(folder).waitFor();
    await picture(page, 'delete-added-model');
    await access(folder);
    await dialog().getByRole('button', { name: 'Delete' }).click();
    await page.getByText('borrowed is deleted').waitFor();
    await assert.rejects(access(folder));
    await access(added);
  });

  it('offers the switches of a model’s template with their defaults', async () => {
    await page.goto(`${server.url}/models?place=hub`);
    await row('demo/tiny-llama').getByRole('button', { name: 'Download' }).click();
    await page.getByText('demo/tiny-llama is downloaded.').waitFor({ timeout: 60_000 });
    await page.goto(`${server.url}/profiles`);
    await page.getByRole('button', { name: 'New profile' }).click();
    await dialog().getByLabel('Name').fill('hasty');
    await dialog().getByLabel('Model').fill('demo/tiny-llama');
    await dialog().getByText('Parameters', { exact: true }).click();
    const thinking = dialog().getByLabel('enable_thinking');
    assert.deepEqual(await thinking.locator('option').allInnerTexts(), ['Default (true)', 'true', 'false']);
    await thinking.selectOption('false');
    await checkAccessibility(page, 'the switches of a template');
    await dialog().getByRole('button', { name: 'Save', exact: true }).click();
    await row('hasty').waitFor();
    assert.deepEqual((await api('/api/v1/profiles/hasty')).defaults.template, { enable_thinking: false });
  });

  it('draws a chat into a folder and out of it', async () => {
    await page.goto(`${server.url}/chat`);
    await ask(page, 'Which planet is blue?');
    await menu('Which planet is blue?', 'Move to folder…');
    await dialog().getByRole('textbox', { name: 'Name of a new folder' }).fill('Space');
    await dialog().getByRole('button', { name: 'Create and move' }).click();
    const folder = page.getByRole('region', { name: 'Space' });
    await folder.getByRole('link', { name: 'Which planet is blue?' }).waitFor();
    await page.goto(`${server.url}/chat`);
    await ask(page, 'Which planet is red?');
    await page.getByRole('link', { name: 'Which planet is red?' }).dragTo(folder.getByRole('button', { name: 'Space', exact: true }));
    await folder.getByRole('link', { name: 'Which planet is red?' }).waitFor();
    const inFolder = async () => (await api('/api/v1/chats')).chats.filter((chat) => chat.folder_id !== null).map((chat) => chat.title).sort();
    await page.waitForFunction(async () => (await (await fetch('/api/v1/chats')).json()).chats.filter((chat) => chat.folder_id !== null).length === 2);
    assert.deepEqual(await inFolder(), ['Which planet is blue?', 'Which planet is red?']);
    const link = folder.getByRole('link', { name: 'Which planet is blue?' });
    const from = await link.boundingBox();
    await page.mouse.move(from.x + 20, from.y + 10);
    await page.mouse.down();
    await page.mouse.move(from.x + 30, from.y + 30, { steps: 4 });
    const out = page.getByText('No folder', { exact: true });
    await out.waitFor();
    await out.hover();
    await page.mouse.up();
    await folder.getByRole('link', { name: 'Which planet is blue?' }).waitFor({ state: 'detached' });
  });

  it('forces a call of a tool, and only for the answer to the question', async () => {
    // The demo model was not trained with tools: it is spoken for where it would call one.
    const chunk = (delta, finish = null) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
    const call = { index: 0, id: 'call_1', type: 'function', function: { name: 'calculator', arguments: '{"expression": "2 + 2"}' } };
    await page.route('**/v1/chat/completions', (route) => {
      const { tools: _tools, tool_choice: _choice, ...body } = route.request().postDataJSON();
      if (body.messages.at(-1).role === 'tool') return route.continue({ postData: JSON.stringify({ ...body, max_tokens: 24 }) });
      return route.fulfill({ status: 200, contentType: 'text/event-stream', body: `${chunk({ tool_calls: [call] })}${chunk({}, 'tool_calls')}data: [DONE]\n\n` });
    });
    await page.goto(`${server.url}/chat`);
    await page.getByRole('button', { name: /^Parameters/ }).click();
    await page.getByRole('switch', { name: 'Calculator' }).click();
    await page.getByLabel('tool_choice').selectOption({ label: 'Must call Calculator' });
    await checkAccessibility(page, 'the choice of tools');
    await page.getByRole('textbox', { name: /^Message / }).fill('What is 2 + 2?');
    const [request] = await Promise.all([page.waitForRequest('**/v1/chat/completions'), page.getByRole('button', { name: 'Send', exact: true }).click()]);
    assert.deepEqual(request.postDataJSON().tool_choice, { type: 'function', function: { name: 'calculator' } });
    const [second] = await Promise.all([page.waitForRequest('**/v1/chat/completions'), page.getByRole('button', { name: 'Allow once' }).click({ timeout: 60_000 })]);
    assert.equal(second.postDataJSON().tool_choice, undefined);
    await page.getByRole('button', { name: 'Stop', exact: true }).waitFor({ state: 'detached', timeout: 60_000 });
    await page.getByRole('button', { name: /^Parameters/ }).click();
  });

  it('encrypts the stored secrets anew', async () => {
    await page.goto(`${server.url}/settings`);
    await page.getByRole('button', { name: 'Encrypt anew' }).click();
    await page.getByText('All secrets are encrypted with a new key.').waitFor();
  });
});
