/** The documents of `rung view`: from the server, or from the scripts of a bundle. */
import { ApiError, getJson } from '../lib/api';
import type { components } from '../lib/openapi';

type Schemas = components['schemas'];
export type RunList = Schemas['RunList'];
export type RunEntry = Schemas['RunEntry'];
export type FileEntry = Schemas['FileEntry'];
export type ChainIndex = Schemas['ChainIndex'];
export type ChainRow = Schemas['ChainRow'];
export type ChainPage = Schemas['ChainPage'];
export type ChainView = Schemas['ChainView'];
export type ChainLabels = Schemas['ChainLabels'];
export type ChainScores = Schemas['ChainScores'];
export type SearchList = Schemas['SearchList'];
export type SearchTree = Schemas['SearchTree'];
export type TreeNode = Schemas['TreeNode'];
export type Charts = Schemas['Charts'];
export type Chart = Schemas['Chart'];
export type HeatMap = Schemas['HeatMap'];
export type FirstErrorTable = Schemas['FirstErrorTable'];
export type Verdict = Schemas['Verdict'];

declare global {
  interface Window {
    /** A bundle's scripts bring their documents by it. */
    rungData?: (name: string, document: unknown) => void;
  }
}

const MAX_KEPT = 60;
const kept = new Map<string, Promise<unknown>>();
const bundle = document.querySelector('meta[name="rung-data"]')?.getAttribute('content') ?? null;

/** A document by its name, as `rung.serve.view.library.documents` has them. */
export function load<T>(name: string): Promise<T> {
  const found = kept.get(name) ?? (bundle === null ? getJson(`v1/view/${name}`) : byScript(name));
  kept.delete(name); // the latest stand last
  kept.set(name, found);
  found.catch(() => kept.delete(name));
  for (const old of kept.keys()) {
    if (kept.size <= MAX_KEPT) break;
    kept.delete(old);
  }
  return found as Promise<T>;
}

/** As `load`, asking the server again. */
export function loadAnew<T>(name: string): Promise<T> {
  if (bundle === null) kept.delete(name);
  return load<T>(name);
}

const waiting = new Map<string, (document: unknown) => void>();
if (bundle !== null) window.rungData = (name, document) => waiting.get(name)?.(document);

function byScript(name: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    const done = (): void => {
      script.remove();
      waiting.delete(name);
    };
    waiting.set(name, (document) => {
      resolve(document);
      done();
    });
    script.onerror = () => {
      reject(new ApiError(`This bundle has no ${name}.`, 404));
      done();
    };
    script.src = `${bundle}/${name}.js`;
    document.head.append(script);
  });
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
