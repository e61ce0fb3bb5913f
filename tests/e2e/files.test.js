// The embedded files on the wire: names, caching, compression, policy; and that pages take no other route's place.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import http from 'node:http';
import zlib from 'node:zlib';
import { startServer } from './harness.js';

/** As a browser asks; fetch decodes bodies and hides how they came, this does not. */
function get(url, headers = {}, method = 'GET') {
  return new Promise((resolve, reject) => {
    http
      .request(url, { method, headers: { accept: 'text/html', ...headers } }, (response) => {
        const pieces = [];
        response.on('data', (piece) => pieces.push(piece));
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces) }));
      })
      .on('error', reject)
      .end();
  });
}

describe('the embedded files', () => {
  let server;
  before(async () => (server = await startServer()));
  after(() => server?.stop());

  it('come in the form that the client takes, the same bytes in each', async () => {
    const plain = await get(`${server.url}/`);
    assert.equal(plain.status, 200);
    assert.equal(plain.headers['content-type'], 'text/html; charset=utf-8');
    assert.equal(plain.headers['content-encoding'], undefined);
    const gzip = await get(`${server.url}/`, { 'accept-encoding': 'gzip' });
    assert.equal(gzip.headers['content-encoding'], 'gzip');
    assert.deepEqual(zlib.gunzipSync(gzip.body), plain.body);
    const brotli = await get(`${server.url}/`, { 'accept-encoding': 'gzip, deflate, br' });
    assert.equal(brotli.headers['content-encoding'], 'br');
    assert.deepEqual(zlib.brotliDecompressSync(brotli.body), plain.body);
    assert.equal(new Set([plain, gzip, brotli].map(({ headers }) => headers.etag)).size, 3);
  });

  it('need not come twice', async () => {
    const first = await get(`${server.url}/`, { 'accept-encoding': 'br' });
    const again = await get(`${server.url}/chat/x`, { 'accept-encoding': 'br', 'if-none-match': first.headers.etag });
    assert.equal(again.status, 304);
    assert.equal(again.body.length, 0);
    const script = /"(\/_app\/immutable\/[^"]+\.js)"/.exec((await get(`${server.url}/`)).body.toString())[1];
    const kept = await get(server.url + script);
    assert.equal(kept.status, 200);
    assert.match(kept.headers['cache-control'], /max-age=31536000.*immutable/);
    assert.equal((await get(`${server.url}/`)).headers['cache-control'], 'no-cache');
  });

  it('have a policy that lets no inline script run but their own', async () => {
    const { headers } = await get(`${server.url}/`);
    const policy = headers['content-security-policy'];
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /script-src 'self' 'sha256-[^']+'(;| ')/);
    assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval|\*/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    const frame = await get(`${server.url}/web/diagram.html`);
    assert.match(frame.headers['content-security-policy'], /sandbox allow-scripts/);
  });

  it('leave all other paths as they are', async () => {
    for (const path of ['/v1/unknown', '/api/v1/unknown', '/unknown', '/chat/a/b', '/index.html']) {
      const answer = await get(server.url + path, { accept: 'text/html' });
      assert.equal(answer.status, 404, path);
      assert.match(answer.headers['content-type'], /json/, path);
    }
    assert.equal((await get(`${server.url}/healthz`)).status, 200);
    assert.equal((await get(`${server.url}/v1/unknown`, {}, 'POST')).status, 404);
    assert.equal((await get(`${server.url}/chat`, {}, 'POST')).status, 405);
    assert.equal((await get(`${server.url}/_app/immutable/none.js`)).status, 404);
    const head = await get(`${server.url}/`, {}, 'HEAD');
    assert.equal(head.status, 200);
    assert.equal(head.body.length, 0);
  });

  it('are no page for a program that asks for JSON', async () => {
    assert.equal((await get(`${server.url}/chat`, { accept: 'application/json' })).status, 404);
    assert.equal((await get(`${server.url}/chat`, { accept: 'text/html,*/*;q=0.8' })).status, 200);
  });

  it('say what the server can do', async () => {
    const facts = JSON.parse((await get(`${server.url}/web/server.json`)).body);
    assert.ok(facts.routes.includes('POST /v1/chat/completions'));
    assert.match(facts.version, /^\d+\.\d+/);
  });
});
