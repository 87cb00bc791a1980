/**
 * Every state of the pages has an address behind the "#", so that it can be sent to someone, also
 * from a bundle that was opened from disk.
 */
import type { Component } from 'svelte';

export type Params = Readonly<Record<string, string>>;
export type Query = Readonly<Record<string, string | null>>;

export interface Route {
  /** Parts that begin with ":" are parameters: "/runs/:run". */
  readonly pattern: string;
  /** Gets the parameters as the property `params`. */
  readonly component: Component<{ params: Params }> | Component;
}

interface Address {
  readonly path: string;
  readonly query: URLSearchParams;
}

function read(hash: string): Address {
  const [path = '', query = ''] = hash.replace(/^#/, '').split(/\?(.*)/s);
  return { path: path || '/', query: new URLSearchParams(query) };
}

let address = $state.raw(read(location.hash));
window.addEventListener('hashchange', () => (address = read(location.hash)));

/** Where the page is; reactive. */
export const router = {
  get path(): string {
    return address.path;
  },
  get query(): URLSearchParams {
    return address.query;
  },
};

/** An address for a link; parts of the path must be encoded already (see `path`). */
export function href(path: string, query: Query = {}): string {
  const filled = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== null);
  const text = new URLSearchParams(filled).toString();
  return `#${path}${text && `?${text}`}`;
}

/** A path from its parts, each encoded: path("runs", name). */
export function path(...parts: readonly string[]): string {
  return `/${parts.map(encodeURIComponent).join('/')}`;
}

export function go(to: string, query: Query = {}): void {
  location.hash = href(to, query);
}

/** Changes parts of the query, null to leave one out; the way back skips what `replace`s. */
export function setQuery(changes: Query, { replace = true } = {}): void {
  const all = { ...Object.fromEntries(address.query), ...changes };
  const to = href(address.path, all);
  if (to === (location.hash || '#/')) return;
  if (!replace) {
    location.hash = to;
    return;
  }
  history.replaceState(null, '', to);
  address = read(to);
}

/** The parameters of `path` under a pattern, or null where it is another one. */
export function match(pattern: string, path: string): Params | null {
  const names = pattern.split('/');
  const parts = path.replace(/(.)\/$/, '$1').split('/');
  if (names.length !== parts.length) return null;
  const params: Record<string, string> = {};
  for (const [index, name] of names.entries()) {
    const part = decode(parts[index] ?? '');
    if (name.startsWith(':')) params[name.slice(1)] = part;
    else if (name !== part) return null;
  }
  return params;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function setTitle(title: string): void {
  document.title = `${title} · rung`;
}
