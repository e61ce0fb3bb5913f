// The README's curl examples, as they stand there, against a server on another port.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { startServer } from './mlxd.js';

const DOCUMENTED_URL = 'http://127.0.0.1:10242';
const README = path.resolve(import.meta.dirname, '../../README.md');

describe('the README', () => {
  let server;
  let examples;
  before(async () => {
    server = await startServer();
    examples = (await readFile(README, 'utf8')).match(/^curl [^]*?}'$/gm) ?? [];
  });
  after(() => server?.stop());

  async function outputOf(pattern) {
    const example = examples.find((text) => pattern.test(text));
    assert.ok(example, `no curl example matches ${pattern}`);
    assert.ok(example.includes(DOCUMENTED_URL));
    const command = `${example.replaceAll(DOCUMENTED_URL, server.url)} --silent --show-error --fail --max-time 100`;
    return (await promisify(execFile)('bash', ['-c', command])).stdout;
  }

  it('shows a completion that names Paris', async () => {
    const completion = JSON.parse(await outputOf(/v1\/completions/));
    assert.ok(completion.choices[0].text.startsWith(' Paris'), completion.choices[0].text);
  });

  it('shows a streamed chat that names Shakespeare', async () => {
    const events = (await outputOf(/v1\/chat\/completions/)).split('\n').filter((line) => line.startsWith('data: '));
    assert.equal(events.at(-1), 'data: [DONE]');
    const text = events.slice(0, -1).map((event) => JSON.parse(event.slice(6)).choices[0]?.delta.content ?? '').join('');
    assert.match(text, /William Shakespeare/);
  });
});
