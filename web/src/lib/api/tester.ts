// One request as a program would send it, with what came back, whatever its status.
export interface TestResult {
  status: number;
  ms: number;
  text: string;
}

export async function testRequest(path: string, body: string, key: string): Promise<TestResult> {
  const start = performance.now();
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (key !== '') headers.authorization = `Bearer ${key}`;
  try {
    // Without the page's own cookie: the key alone must do.
    const response = await fetch(path, { method: 'POST', headers, body, credentials: 'omit' });
    const text = await response.text();
    return { status: response.status, ms: Math.round(performance.now() - start), text: pretty(text) };
  } catch (error) {
    return { status: 0, ms: Math.round(performance.now() - start), text: String(error) };
  }
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
