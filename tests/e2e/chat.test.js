// The chat against a real model: asking, stopping, branching, keeping, by mouse and by keyboard alone.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { readFile } from 'node:fs/promises';
import { ask, checkAccessibility, DESKTOP, MODEL, noBrowser, openPage, PHONE, picture, startBrowser, startServer } from './harness.js';

describe('chat', { skip: noBrowser }, () => {
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

  /** A page at `path` with temperature 0, so that answers are the same each time. */
  async function open(path = '/chat', options = {}) {
    const opened = await openPage(browser, server.url, options);
    await opened.page.goto(server.url + path);
    await opened.page.locator('textarea').first().waitFor();
    await opened.page.getByRole('button', { name: `Model: ${MODEL}` }).waitFor();
    return opened;
  }
  const box = (page) => page.getByRole('textbox', { name: `Message ${MODEL}` });
  const answers = (page) => page.getByRole('article', { name: /^Answer of/ });

  it('answers, keeps the conversation over a reload, and tells how fast it was', async () => {
    const { page, close } = await open();
    const answer = await ask(page, 'Who wrote Romeo and Juliet?');
    assert.match(await answer.innerText(), /Shakespeare/);
    assert.match(page.url(), /\/chat\/\w+$/);
    await page.getByRole('link', { name: 'Who wrote Romeo and Juliet?' }).waitFor();
    await page.reload();
    await answers(page).first().waitFor();
    assert.match(await answers(page).first().innerText(), /Shakespeare/);

    await answers(page).first().hover();
    await page.getByRole('button', { name: 'Statistics' }).click();
    const stats = page.getByRole('dialog', { name: 'Statistics' });
    assert.match(await stats.innerText(), /Speed\s+\d+(\.\d)? tok\/s[\s\S]*Prompt\s+\d+ tokens[\s\S]*Answer\s+\d+ tokens/);
    await page.keyboard.press('Escape');
    await picture(page, 'chat-answer');
    await close();
  });

  it('is operated by the keyboard alone', async () => {
    const { page, close } = await open();
    // The box has the focus from the start.
    await page.keyboard.type('Name a colour.');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Send', exact: true }).waitFor();
    await answers(page).first().and(page.locator('[aria-busy="false"]')).waitFor({ timeout: 60_000 });
    await page.keyboard.press('Control+k');
    await page.keyboard.type('running');
    await page.getByRole('option', { name: 'Running' }).waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL('**/running');
    await page.keyboard.press('Control+k');
    await page.keyboard.type('Name a col');
    await page.getByRole('option', { name: /Name a colour/ }).waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL('**/chat/*');
    await answers(page).first().waitFor();
    await close();
  });

  it('stops at once when asked, keeps what came, and goes on after', async () => {
    const { page, close } = await open();
    await page.unroute('**/v1/chat/completions');
    await box(page).fill('Write a very long story about the sea, with many chapters.');
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    const answer = answers(page).last();
    await page.waitForFunction(() => (document.querySelector('article[aria-busy="true"] .prose')?.textContent ?? '').length > 20);
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await answer.getByText('Stopped', { exact: true }).waitFor();
    const text = await answer.locator('.prose').innerText();
    assert.ok(text.length > 20);
    await page.route('**/v1/chat/completions', (route) => route.continue({ postData: JSON.stringify({ ...route.request().postDataJSON(), max_tokens: 12 }) }));
    const next = await ask(page, 'Who wrote Hamlet?');
    assert.ok((await next.locator('.prose').innerText()).length > 0);
    await close();
  });

  it('edits and answers again as versions that one can turn through', async () => {
    const { page, close } = await open();
    await ask(page, 'Say the word apple.');
    await page.getByRole('article', { name: 'You said' }).hover();
    await page.getByRole('button', { name: 'Edit', exact: true }).click();
    await page.getByRole('textbox', { name: 'Edit' }).fill('Say the word banana.');
    await page.keyboard.press('Control+Enter');
    await page.getByRole('group', { name: 'Version 2 of 2' }).waitFor();
    await answers(page).first().and(page.locator('[aria-busy="false"]')).waitFor({ timeout: 60_000 });
    await page.getByRole('button', { name: 'Previous version' }).click();
    await page.getByText('Say the word apple.', { exact: true }).last().waitFor();
    await page.getByRole('button', { name: 'Answer again' }).click();
    await page.getByRole('button', { name: 'Stop', exact: true }).waitFor({ state: 'detached', timeout: 60_000 });
    await page.getByRole('button', { name: 'Compare versions' }).click();
    await page.getByText('Side by side').waitFor();
    assert.equal(await answers(page).count(), 2);
    await picture(page, 'chat-compare');
    await page.getByRole('button', { name: 'Go on with this one' }).first().click();
    await page.getByRole('group', { name: 'Version 1 of 2' }).last().waitFor();
    await close();
  });

  it('sends the parameters that are set, and shows what the server refuses', async () => {
    const { page, close } = await open('/chat', { allow: [/status of 400/] });
    const bodies = [];
    page.on('request', (request) => {
      if (request.url().endsWith('/v1/chat/completions')) bodies.push(request.postDataJSON());
    });
    await page.getByRole('button', { name: 'Parameters' }).click();
    const panel = page.getByRole('complementary', { name: 'Parameters' });
    await panel.getByRole('spinbutton', { name: 'temperature' }).fill('0');
    await panel.getByRole('spinbutton', { name: 'max_tokens' }).fill('7');
    await panel.getByRole('spinbutton', { name: 'top_logprobs' }).fill('2');
    await panel.getByRole('textbox', { name: 'System prompt' }).fill('You are brief.');
    const answer = await ask(page, 'Who wrote Romeo and Juliet?');
    assert.deepEqual(
      { ...bodies[0], messages: bodies[0].messages.map(({ role }) => role) },
      { model: MODEL, messages: ['system', 'user'], temperature: 0, max_tokens: 7, top_logprobs: 2, logprobs: true, stream: true, stream_options: { include_usage: true } },
    );
    await answer.getByText('Cut off at the limit of tokens').waitFor();
    await answer.getByText('Token probabilities').click();
    assert.equal(await answer.locator('details[open] p span').count(), 7);
    await picture(page, 'chat-parameters');

    await panel.getByRole('textbox', { name: 'logit_bias' }).fill('{"nonsense": 1}');
    const refused = await ask(page, 'And this?');
    assert.match(await refused.getByRole('alert').innerText(), /logit_bias/);
    await close();
  });

  for (const [name, path, limit] of [
    ['Responses', '/v1/responses', 'max_output_tokens'],
    ['Anthropic', '/v1/messages', 'max_tokens'],
  ]) {
    it(`speaks ${name} where the chat is set so, and shows that request`, async () => {
      const { page, close } = await open();
      const bodies = [];
      page.on('request', (request) => {
        if (request.url().endsWith(path)) bodies.push(request.postDataJSON());
      });
      await page.getByRole('button', { name: 'Parameters' }).click();
      const panel = page.getByRole('complementary', { name: 'Parameters' });
      await panel.getByRole('radio', { name }).check({ force: true });
      assert.equal(await panel.getByRole('spinbutton', { name: 'n', exact: true }).count(), 0);
      await panel.getByRole('spinbutton', { name: 'max_tokens' }).fill('24');
      const answer = await ask(page, 'Who wrote Romeo and Juliet?');
      assert.match(await answer.innerText(), /Shakespeare/);
      assert.equal(bodies[0][limit], 24);
      await answer.hover();
      await page.getByRole('button', { name: 'Statistics' }).click();
      assert.match(await page.getByRole('dialog', { name: 'Statistics' }).innerText(), /Prompt\s+\d+ tokens[\s\S]*Answer\s+\d+ tokens/);
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'View request' }).click();
      await page.getByText(`${server.url}${path}`).first().waitFor();
      await close();
    });
  }

  it('asks before a tool runs, shows its result and gives it to the model', async () => {
    const { page, close } = await open();
    const bodies = [];
    // The demo model was not trained with tools: it is spoken for where it would call one.
    const calls = (expression) => {
      const chunk = (delta, finish = null) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
      const call = { index: 0, id: 'call_1', type: 'function', function: { name: 'calculator', arguments: JSON.stringify({ expression }) } };
      return chunk({ tool_calls: [call] }) + chunk({}, 'tool_calls') + 'data: [DONE]\n\n';
    };
    await page.route('**/v1/chat/completions', (route) => {
      const body = route.request().postDataJSON();
      bodies.push(body);
      const last = body.messages.at(-1);
      if (last.role === 'user') return route.fulfill({ status: 200, contentType: 'text/event-stream', body: calls(last.content) });
      const { tools: _tools, ...rest } = body;
      return route.continue({ postData: JSON.stringify({ ...rest, temperature: 0, max_tokens: 24 }) });
    });
    await page.getByRole('button', { name: 'Parameters' }).click();
    await page.getByRole('complementary', { name: 'Parameters' }).getByRole('switch', { name: 'Calculator' }).click();
    const send = async (text) => {
      await box(page).fill(text);
      await page.getByRole('button', { name: 'Send', exact: true }).click();
    };
    const finished = () => page.getByRole('button', { name: 'Stop', exact: true }).waitFor({ state: 'detached', timeout: 60_000 });
    const question = page.getByRole('group', { name: 'May calculator be run?' });

    await send('6 * 7');
    await question.waitFor();
    await checkAccessibility(page, 'the question whether a tool may run');
    await picture(page, 'chat-tool-question');
    await question.getByRole('button', { name: 'Refuse' }).click();
    await finished();
    assert.match(bodies.at(-1).messages.at(-1).content, /refused/);

    await send('6 * 7 + 1');
    await question.getByRole('button', { name: 'Always in this chat' }).click();
    await finished();
    const { role, tool_call_id, content } = bodies.at(-1).messages.at(-1);
    assert.deepEqual({ role, tool_call_id, content }, { role: 'tool', tool_call_id: 'call_1', content: '43' });
    assert.deepEqual(bodies.at(-1).tools.map((tool) => tool.function.name), ['calculator']);

    // Allowed for good: no question any more.
    await send('10 - 1');
    await finished();
    assert.equal(bodies.at(-1).messages.at(-1).content, '9');
    await page.reload();
    await answers(page).first().waitFor();
    assert.equal(await page.getByText('Tool: calculator').count(), 3);
    await picture(page, 'chat-tool-result');
    await close();
  });

  it('goes on with an answer that was cut, in its place', async () => {
    const { page, close } = await open();
    await page.getByRole('button', { name: 'Parameters' }).click();
    const panel = page.getByRole('complementary', { name: 'Parameters' });
    await panel.getByRole('spinbutton', { name: 'temperature' }).fill('0');
    await panel.getByRole('spinbutton', { name: 'max_tokens' }).fill('6');
    const prompt = 'Write a long story about the sea.';
    const answer = await ask(page, prompt);
    const begun = await answer.locator('.prose').innerText();
    await page.getByRole('button', { name: 'Continue', exact: true }).click();
    await page.waitForFunction((length) => document.querySelector('article .prose').innerText.length > length, begun.length);
    await page.getByRole('button', { name: 'Stop', exact: true }).waitFor({ state: 'detached', timeout: 60_000 });
    const whole = await answer.locator('.prose').innerText();
    assert.ok(whole.startsWith(begun), whole);
    await page.getByRole('link', { name: prompt }).waitFor();
    await page.reload();
    await answers(page).first().waitFor();
    assert.equal(await answers(page).first().locator('.prose').innerText(), whole);
    await close();
  });

  it('asks for several answers at once and shows them as versions', async () => {
    const { page, close } = await open();
    await page.getByRole('button', { name: 'Parameters' }).click();
    const panel = page.getByRole('complementary', { name: 'Parameters' });
    await panel.getByRole('spinbutton', { name: 'n', exact: true }).fill('2');
    await panel.getByRole('spinbutton', { name: 'max_tokens' }).fill('12');
    await ask(page, 'Name an animal.');
    await page.getByRole('group', { name: 'Version 1 of 2' }).waitFor();
    await close();
  });

  it('takes text files by paste and drop, and refuses others by name', async () => {
    const { page, close } = await open();
    const bodies = [];
    page.on('request', (request) => {
      if (request.url().endsWith('/v1/chat/completions')) bodies.push(request.postDataJSON());
    });
    await page.locator('input[type=file]:not([accept])').setInputFiles([
      { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('The password is swordfish. <b>ü</b>') },
      { name: 'picture.png', mimeType: 'image/png', buffer: Buffer.from([0x89, 0x50, 0, 1, 2]) },
      { name: '<img src=x onerror=alert(1)>.md', mimeType: 'text/markdown', buffer: Buffer.from('# x') },
    ]);
    await page.getByText('picture.png is not a text file').waitFor();
    await page.evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File(['dropped'], 'drop.txt', { type: 'text/plain' }));
      document.querySelector('textarea').parentElement.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
      const pasted = new DataTransfer();
      pasted.items.add(new File(['pasted'], 'paste.txt', { type: 'text/plain' }));
      document.querySelector('textarea').dispatchEvent(new ClipboardEvent('paste', { clipboardData: pasted, bubbles: true, cancelable: true }));
    });
    await page.getByText('paste.txt').waitFor();
    await page.getByText('drop.txt').waitFor();
    await ask(page, 'What is the password?');
    const [{ content }] = bodies[0].messages;
    for (const part of ['<file name="notes.txt">', 'swordfish', 'dropped', 'pasted', 'What is the password?']) assert.ok(content.includes(part), part);
    assert.equal(await page.locator('img').count(), 0);
    await close();
  });

  it('exports and imports, pins, renames, searches, deletes and takes it back', async () => {
    const { page, close } = await open();
    await ask(page, 'Tell me about zebras.');
    const row = page.getByRole('listitem').filter({ has: page.getByRole('link', { name: 'Tell me about zebras.' }) });
    const menu = async (item) => {
      await row.hover();
      await row.getByRole('button', { name: /^More/ }).click();
      await page.getByRole('menuitem', { name: item }).click();
    };
    const [download] = await Promise.all([page.waitForEvent('download'), menu('Export as JSON')]);
    const saved = JSON.parse(await readFile(await download.path(), 'utf8'));
    assert.equal(saved.conversation.messages[0].text, 'Tell me about zebras.');
    await menu('Pin');
    await page.getByRole('heading', { name: 'Pinned' }).waitFor();
    await page.getByRole('searchbox', { name: 'Search chats' }).fill('nothing has this word');
    await page.getByText('No chat has this.').waitFor();
    await page.getByRole('searchbox', { name: 'Search chats' }).fill('zebra');
    await row.waitFor();
    await menu('Delete chat');
    await page.getByRole('button', { name: 'Undo' }).click();
    await row.waitFor();
    await page.getByRole('searchbox', { name: 'Search chats' }).fill('');
    await page.locator('input[type=file][accept]').setInputFiles({ name: 'chat.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(saved)) });
    await page.getByText('The chat is imported.').waitFor();
    await close();
  });

  it('shows hostile answers as text', async () => {
    const { page, close } = await open();
    const attack = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\n\n[x](javascript:window.hacked=1)\n\n![x](https://evil.example/x.png)\n\n<iframe src="https://evil.example"></iframe>\n\n<b onmouseover="window.hacked=1">bold</b>\n\n```html\n<script>window.hacked=1</script>\n```\n\n$x^2$ and <style>body{display:none}</style>';
    await page.route('**/v1/chat/completions', (route) => {
      const chunk = (delta, finish = null) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
      const pieces = attack.match(/[\s\S]{1,5}/g).map((content) => chunk({ content }));
      route.fulfill({ status: 200, contentType: 'text/event-stream', body: [chunk({ reasoning_content: attack }), ...pieces, chunk({}, 'stop'), 'data: [DONE]\n\n'].join('') });
    });
    const answer = await ask(page, 'Attack');
    await answer.getByRole('button', { name: /Thought/ }).click();
    await answer.locator('math').first().waitFor();
    assert.equal(await page.evaluate(() => globalThis.hacked), undefined);
    assert.equal(await answer.locator('img, iframe, script, style').count(), 0);
    assert.equal(await answer.locator('a[href^="javascript"]').count(), 0);
    assert.match(await answer.innerText(), /<iframe src="https:\/\/evil\.example">/);
    await answer.getByText('onmouseover').last().hover();
    assert.equal(await page.evaluate(() => globalThis.hacked), undefined);
    await picture(page, 'chat-hostile');
    await close();
  });

  it('shows Markdown as it should be: code in colours, tables, formulas, diagrams', async () => {
    const { page, close } = await open();
    const text = [
      'Here is **the plan**, with `inline code` and a [link](https://example.org):\n\n1. Read the weights\n2. Compute a step\n   - one row each\n   - in any order\n\n',
      '| Backend | tok/s | Memory |\n|:--|--:|--:|\n| cpu | 182 | 0.4 GB |\n| metal | 311 | 0.4 GB |\n\n',
      '```python\ndef attention(q, k, v):\n    """Scaled dot product."""\n    scores = q @ k.T / math.sqrt(q.shape[-1])  # [rows, keys]\n    return softmax(scores) @ v\n```\n\n',
      'The softmax is\n\n$$\n\\operatorname{softmax}(x)_i = \\frac{e^{x_i}}{\\sum_j e^{x_j}}\n$$\n\nso that $\\sum_i p_i = 1$.\n\n> A row’s result does not depend on the other rows.\n\n',
      '```mermaid\ngraph LR\n  A[Prompt] --> B(Prefill)\n  B --> C{Decode}\n  C -->|stop| D[Answer]\n```\n',
    ].join('');
    await page.route('**/v1/chat/completions', (route) => {
      const chunk = (delta, finish = null) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
      const body = [chunk({ reasoning_content: 'The user wants a plan. I lay out the steps, then the figures.' }), ...text.match(/[\s\S]{1,7}/g).map((content) => chunk({ content })), chunk({}, 'stop')];
      route.fulfill({ status: 200, contentType: 'text/event-stream', body: body.join('') + 'data: [DONE]\n\n' });
    });
    const answer = await ask(page, 'How does a step work? Show me code, figures and a diagram.');
    await answer.locator('.code-token-keyword').first().waitFor();
    await answer.locator('math').first().waitFor();
    const frame = page.frameLocator('iframe[title="Diagram"]');
    await frame.locator('svg').waitFor({ timeout: 20_000 });
    assert.equal(await answer.locator('table td').count(), 6);
    await answer.getByRole('button', { name: 'Copy', exact: true }).first().click();
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^def attention/);
    await checkAccessibility(page, 'an answer with everything');
    await page.getByRole('log').evaluate((log) => log.scrollTo(0, 0));
    await picture(page, 'chat-markdown');
    await page.getByRole('log').evaluate((log) => log.scrollTo(0, log.scrollHeight));
    await picture(page, 'chat-markdown-end');
    await page.emulateMedia({ colorScheme: 'dark' });
    await picture(page, 'chat-markdown-dark');
    await close();
  });

  it('says that the server is gone and goes on when it is back', async () => {
    const { page, close } = await open('/chat', { allow: [/ERR_INTERNET_DISCONNECTED|ERR_FAILED|Failed to load/] });
    await page.context().setOffline(true);
    await box(page).fill('Hello');
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await page.getByText('The server cannot be reached.').waitFor();
    await answers(page).last().getByRole('alert').waitFor();
    await picture(page, 'chat-offline');
    await page.context().setOffline(false);
    await page.getByText('The server cannot be reached.').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('button', { name: 'Stop', exact: true }).waitFor({ state: 'detached', timeout: 60_000 });
    assert.ok((await answers(page).last().locator('.prose').innerText()).length > 0);
    await close();
  });

  for (const [name, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    for (const dark of [false, true]) {
      it(`has nothing for axe on a ${name} in ${dark ? 'dark' : 'light'}`, async () => {
        const { page, close } = await open('/chat', { viewport, dark });
        const mark = `${name}-${dark ? 'dark' : 'light'}`;
        await checkAccessibility(page, 'an empty chat');
        await picture(page, `chat-empty-${mark}`);
        await ask(page, 'Write two short paragraphs about the moon.');
        await checkAccessibility(page, 'a chat');
        await picture(page, `chat-${mark}`);
        await page.getByRole('button', { name: 'Parameters' }).click();
        await page.getByText('temperature', { exact: true }).waitFor();
        await checkAccessibility(page, 'the parameters');
        await picture(page, `chat-parameters-${mark}`);
        if (viewport === PHONE) await page.keyboard.press('Escape');
        await page.getByRole('button', { name: 'View request' }).click();
        await page.getByText('curl ').first().waitFor();
        await checkAccessibility(page, 'the request');
        await picture(page, `chat-request-${mark}`);
        await page.keyboard.press('Escape');
        await page.getByRole('button', { name: /^Model:/ }).click();
        await page.getByRole('option', { name: new RegExp(MODEL) }).waitFor();
        await checkAccessibility(page, 'the choice of models');
        await close();
      });
    }
  }
});
