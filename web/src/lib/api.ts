/** Calls of rung's HTTP API; a failure is an ApiError with one sentence for people. */

export class ApiError extends Error {
  constructor(
    message: string,
    /** The HTTP status; 0 where the server was not reached. */
    readonly status: number,
  ) {
    super(message);
  }
}

export function getJson<T>(address: string): Promise<T> {
  return call<T>(address, { method: 'GET' });
}

export function sendJson<T>(
  address: string,
  body: unknown,
  method: 'POST' | 'PUT' | 'DELETE' = 'POST',
): Promise<T> {
  const headers = { 'content-type': 'application/json' };
  return call<T>(address, { method, headers, body: JSON.stringify(body) });
}

async function call<T>(address: string, request: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(address, { credentials: 'same-origin', ...request });
  } catch {
    throw new ApiError('The server does not answer.', 0);
  }
  if (!response.ok) throw new ApiError(await sentenceOf(response), response.status);
  return (await response.json()) as T;
}

async function sentenceOf(response: Response): Promise<string> {
  try {
    const body = (await response.json()) as { error?: { message?: unknown } };
    if (typeof body.error?.message === 'string') return body.error.message;
  } catch {
    // not JSON: the status alone has to do
  }
  return `The server answered ${response.status} ${response.statusText}.`;
}
