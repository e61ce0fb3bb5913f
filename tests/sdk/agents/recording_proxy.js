// Stands between an agent and the server and keeps each exchange.
import http from 'node:http';

/**
 * `{ url, exchanges, close() }`; an exchange is `{ method, path, body, status, type, ignored, text }`: what was
 * asked, and the answer with the type of its content and the header x-mlxd-ignored.
 */
export async function startProxy(target) {
  const exchanges = [];
  const server = http.createServer((request, response) => {
    const exchange = { method: request.method, path: request.url, body: '', status: 0, type: '', ignored: '', text: '', aborted: false };
    exchanges.push(exchange);
    const { host, ...headers } = request.headers;
    const forwarded = http.request(target + request.url, { method: request.method, headers }, (answer) => {
      exchange.status = answer.statusCode;
      exchange.type = answer.headers['content-type'] ?? '';
      exchange.ignored = answer.headers['x-mlxd-ignored'] ?? '';
      answer.setEncoding('utf8');
      response.writeHead(answer.statusCode, answer.headers);
      answer.on('data', (piece) => {
        exchange.text += piece;
        response.write(piece);
      });
      answer.on('end', () => response.end());
    });
    forwarded.on('error', (error) => {
      exchange.text += String(error);
      response.destroy();
    });
    response.on('close', () => {
      exchange.aborted = !response.writableFinished;
      forwarded.destroy();
    });
    const pieces = [];
    request.on('data', (piece) => {
      pieces.push(piece);
      forwarded.write(piece);
    });
    request.on('end', () => {
      exchange.body = Buffer.concat(pieces).toString();
      forwarded.end();
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    exchanges,
    close: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }),
  };
}
