// How fast the web interface is, in Chromium against a running server: `node bench/web/measure.mjs [URL]`, with the
// packages of tests/e2e. Prints first paint, the longest task while a list of 1,000 models scrolls, the time until the
// end of a conversation of 300 messages stands, and the share of a core while 200 tokens a second stream into Markdown.
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(path.resolve(import.meta.dirname, '../../tests/e2e/package.json'));
const { chromium } = require('playwright-core');

const target = new URL(process.argv[2] ?? 'http://127.0.0.1:10242');
const PARAGRAPH = 'The **scheduler** plans a step: all decoding sequences, one token each, then `prefill` by rank.\n\n- one row\n- another row\n\n';

const json = (response, value) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
const chunk = (delta, finish = null) => `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;

const COUNT = 1000;
const name = (i) => `organisation/model-${i}`;
const entry = (i) => ({ id: name(i), created: 1_700_000_000 + i, loaded: i < 2, context_length: 8192, parameters: 1e9 + i * 1e7, capabilities: ['chat'] });
const facts = (i) => ({ architecture: 'llama', quantization: '4-bit, group 64', context_tokens: 8192, parameters: 1e9 + i * 1e7, size_bytes: 6e8, weight_bytes: 6e8, bits_per_weight: 4.5, inputs: ['text'], chat_template: true, tools: i % 2 === 0, reasoning: false, license: 'mit', base_models: [] });
const fit = { verdict: 'fits', weight_bytes: 6e8, kv_bytes: 2e8, scratch_bytes: 1e8, total_bytes: 9e8, memory_bytes: 16e9, context_tokens: 8192, concurrency: 1, max_context_tokens: 8192 };
const local = (i) => ({ id: name(i), source: 'folder', path: `/models/${i}`, loaded: i < 2, supported: true, problem: null, modified: 1_700_000_000 + i, facts: facts(i), fit });
const many = (make) => Array.from({ length: COUNT }, (_, i) => make(i));

// Stands before the server and answers what is to be large or of an even speed.
const proxy = http.createServer((request, response) => {
  if (request.url === '/v1/models') return json(response, { data: many(entry) });
  if (/^\/api\/v1\/models(\?|$)/.test(request.url)) return json(response, { models: many(local) });
  if (request.url === '/v1/chat/completions') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const pieces = PARAGRAPH.repeat(400).match(/[\s\S]{1,5}/g);
    let sent = 0;
    const timer = setInterval(() => {
      for (let i = 0; i < 4; i++) response.write(chunk({ content: pieces[sent++ % pieces.length] }));
      if (sent >= 2000) {
        clearInterval(timer);
        response.end(chunk({}, 'stop') + 'data: [DONE]\n\n');
      }
    }, 20);
    request.on('close', () => clearInterval(timer));
    return undefined;
  }
  const upstream = http.request({ host: target.hostname, port: target.port, path: request.url, method: request.method, headers: { ...request.headers, host: target.host } }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  upstream.on('error', () => response.writeHead(502).end());
  request.pipe(upstream);
  return undefined;
});
await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
const url = `http://127.0.0.1:${proxy.address().port}`;

const browser = await chromium.launch({ executablePath: process.env.MLXD_CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-background-networking'] });
const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
const devtools = await page.context().newCDPSession(page);
// In processor time of the main thread, which other programs of the machine do not change.
await devtools.send('Performance.enable', { timeDomain: 'threadTicks' });
const taskSeconds = async () => Object.fromEntries((await devtools.send('Performance.getMetrics')).metrics.map(({ name, value }) => [name, value])).TaskDuration;
const report = (name, value, bound) => console.log(`${name.padEnd(56)} ${value.padStart(10)}   (aim: ${bound})`);

const paints = [];
for (let i = 0; i < 5; i++) {
  await page.goto(`${url}/chat`);
  await page.locator('textarea').waitFor();
  paints.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime));
}
report('first contentful paint, best of 5', `${Math.min(...paints).toFixed(0)} ms`, '< 300 ms');

await page.goto(`${url}/models`);
await page.getByText('organisation/model-999').waitFor({ state: 'attached' });
await page.evaluate(() => {
  globalThis.longest = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => (globalThis.longest = Math.max(globalThis.longest, entry.duration)))).observe({ type: 'longtask' });
});
await page.mouse.move(640, 500);
for (let i = 0; i < 60; i++) {
  await page.mouse.wheel(0, 900);
  await page.waitForTimeout(30);
}
const longest = await page.evaluate(() => globalThis.longest);
report('longest task while 1,000 models scroll', longest === 0 ? '< 50 ms' : `${longest.toFixed(0)} ms`, '< 50 ms');

await page.goto(`${url}/chat`);
await page.locator('textarea').waitFor();
await page.evaluate(async (paragraph) => {
  const messages = Array.from({ length: 300 }, (_, i) => ({
    id: `m${i}`, parent: i === 0 ? null : `m${i - 1}`, role: i % 2 === 0 ? 'user' : 'assistant', text: i % 2 === 0 ? 'A question?' : paragraph.repeat(3),
    created: Date.now(), reasoning: '', reasoningMs: null, toolCalls: [], attachments: [], model: 'm', finish: i % 2 === 0 ? null : 'stop', error: null, stats: null, logprobs: [],
  }));
  const conversation = { id: 'long', title: 'Long', folder: null, pinned: false, model: 'm', created: Date.now(), changed: Date.now(), current: 'm299', settings: { system: '', parameters: {} }, messages };
  const database = await new Promise((resolve) => {
    const request = indexedDB.open('mlxd', 1);
    request.onsuccess = () => resolve(request.result);
  });
  await new Promise((resolve) => (database.transaction('chats', 'readwrite').objectStore('chats').put(conversation).onsuccess = resolve));
}, PARAGRAPH);
await page.reload();
const link = page.getByRole('link', { name: 'Long', exact: true });
await link.waitFor();
const opened = await page.evaluate(async () => {
  const start = performance.now();
  [...document.querySelectorAll('a')].find((each) => each.textContent.trim() === 'Long').click();
  while (document.querySelectorAll('article').length < 16) await new Promise((resolve) => requestAnimationFrame(resolve));
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  return performance.now() - start;
});
await page.waitForFunction(() => document.querySelectorAll('article').length === 300);
report('the end of a conversation of 300 messages stands after', `${opened.toFixed(0)} ms`, '< 200 ms');

await page.goto(`${url}/chat`);
await page.locator('textarea').fill('Stream');
await page.keyboard.press('Enter');
await page.locator('article .prose').first().waitFor();
const before = await taskSeconds();
const started = performance.now();
await page.waitForTimeout(8000);
const share = (await taskSeconds() - before) / ((performance.now() - started) / 1000);
report('main thread while 200 tokens/s stream into Markdown', `${(share * 100).toFixed(0)} %`, '< 30 %');

await browser.close();
proxy.close();
