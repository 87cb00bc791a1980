/** What scorers and sources of labels say of the same step, and how far they are apart. */
import type { ChainView, ChainScores } from './data';

export type Opinion = readonly (number | null)[];

/** A difference below this is no disagreement. */
const LEAST = 0.2;

export interface Disagreement {
  readonly step: number;
  readonly spread: number;
}

/**
 * Two scorers that are laid over each other are held against each other alone; else all labels and
 * the scorer that is looked at.
 */
export function opinionsOf(chain: ChainView, one: ChainScores | null, two: ChainScores | null): Opinion[] {
  if (one !== null && two !== null) return [one.scores, two.scores];
  const labels = chain.labels.map((labeled) => labeled.labels);
  return one === null ? labels : [one.scores, ...labels];
}

/** The steps on which opinions differ, the largest difference first. */
export function disagreements(opinions: readonly Opinion[]): Disagreement[] {
  const length = Math.max(0, ...opinions.map((opinion) => opinion.length));
  return Array.from({ length }, (_, step) => ({ step, spread: spreadAt(opinions, step) }))
    .filter(({ spread }) => spread >= LEAST)
    .sort((a, b) => b.spread - a.spread);
}

function spreadAt(opinions: readonly Opinion[], step: number): number {
  const values = opinions.map((opinion) => opinion[step] ?? null).filter((value) => value !== null);
  return values.length < 2 ? 0 : Math.max(...values) - Math.min(...values);
}
