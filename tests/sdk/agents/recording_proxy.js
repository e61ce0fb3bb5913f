// Stands between an agent and the server and notes each request with the status of its answer.
import http from 'node:http';

/** `{ url, exchanges, close() }`; an exchange is `{ method, path, status, error }`, `error` the body of a refusal. */
export async function startProxy(target) {
  const exchanges = [];
  const server = http.createServer((request, response) => {
    const exchange = { method: request.method, path: request.url, status: 0, error: '' };
    exchanges.push(exchange);
    const { host, ...headers } = request.headers;
    const forwarded = http.request(target + request.url, { method: request.method, headers }, (answer) => {
      exchange.status = answer.statusCode;
      if (answer.statusCode >= 400) answer.on('data', (piece) => (exchange.error += piece));
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    forwarded.on('error', (error) => {
      exchange.error = String(error);
      response.destroy();
    });
    response.on('close', () => forwarded.destroy());
    request.pipe(forwarded);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    exchanges,
    close: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }),
  };
}
