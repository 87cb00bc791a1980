/** Which chains are shown, in which order. */
import type { ChainIndex, ChainRow } from './data';

export interface Filter {
  readonly name: string;
  readonly says: string;
  readonly holds: (row: ChainRow, view: View) => boolean;
}

/** What filters depend on beside the row. */
export interface View {
  /** Index of the scorer that is looked at; null where there is none. */
  readonly scorer: number | null;
  /** Steps from which on a chain is long: more than nine in ten have. */
  readonly long: number;
}

const LARGE = 0.5;

export const FILTERS: Record<string, Filter> = {
  trusted: {
    name: 'Wrong but trusted',
    says: 'wrong answer, though no step is doubted by the scorer',
    holds: (row, view) => row.outcome === 'incorrect' && (valueOf(row, view.scorer) ?? 0) >= 0.5,
  },
  lucky: {
    name: 'Right with a bad step',
    says: 'right answer, though a step is labelled wrong (or doubted, where there are no labels)',
    holds: (row, view) => row.outcome === 'correct' && hasBadStep(row, view),
  },
  disputed: {
    name: 'Disputed',
    says: `labels and scorers differ by ${LARGE} or more on some step`,
    holds: (row) => (row.spread ?? 0) >= LARGE,
  },
  long: {
    name: 'Long',
    says: 'longer than nine chains in ten',
    holds: (row, view) => row.num_steps >= view.long,
  },
  unparsed: {
    name: 'Unparsed',
    says: 'no final answer that could be read or checked',
    holds: (row) => row.outcome === 'unparsed' || row.outcome === 'timeout',
  },
};

type Key = (row: ChainRow, view: View) => number | null;
export const ORDERS: Record<string, { name: string; key: Key | null }> = {
  file: { name: 'as in the file', key: null },
  lowest: { name: 'lowest score first', key: (row, view) => valueOf(row, view.scorer) },
  highest: { name: 'highest score first', key: (row, view) => negative(valueOf(row, view.scorer)) },
  disputed: { name: 'most disputed first', key: (row) => negative(row.spread) },
  longest: { name: 'longest first', key: (row) => -row.num_steps },
};

export function valueOf(row: ChainRow, scorer: number | null): number | null {
  return scorer === null ? null : (row.values[scorer] ?? null);
}

/** The index of the first value below 0.5; null where there is none. */
export function firstError(values: readonly (number | null)[] | null | undefined): number | null {
  const found = values?.findIndex((value) => value !== null && value < 0.5) ?? -1;
  return found < 0 ? null : found;
}

/** One step more than nine chains in ten have at most. */
export function longFrom(index: ChainIndex): number {
  const lengths = index.rows.map((row) => row.num_steps).sort((a, b) => a - b);
  return (lengths[Math.ceil(lengths.length * 0.9) - 1] ?? 0) + 1;
}

/** The places of the rows to show, in order. */
export function select(
  index: ChainIndex,
  wanted: { filters: readonly string[]; order: string; text: string; view: View },
): number[] {
  const { view } = wanted;
  const filters = wanted.filters.flatMap((name) => FILTERS[name] ?? []);
  const text = wanted.text.trim().toLowerCase();
  const places = index.rows.flatMap((row, place) =>
    filters.every((filter) => filter.holds(row, view)) && holdsText(index, row, text) ? [place] : [],
  );
  const key = ORDERS[wanted.order]?.key;
  if (!key) return places;
  const keys = new Map(places.map((place) => [place, keyOf(index, place, key, view)]));
  return places.sort((a, b) => (keys.get(a) ?? 0) - (keys.get(b) ?? 0) || a - b);
}

function keyOf(index: ChainIndex, place: number, key: Key, view: View): number {
  const row = index.rows[place];
  return (row && key(row, view)) ?? Number.POSITIVE_INFINITY; // what has none comes last
}

function holdsText(index: ChainIndex, row: ChainRow, text: string): boolean {
  if (text === '') return true;
  const problem = index.problems[row.problem];
  const parts = [row.id, row.answer, problem?.id, problem?.question];
  return parts.some((part) => part?.toLowerCase().includes(text));
}

function hasBadStep(row: ChainRow, view: View): boolean {
  const labels = row.labels.filter((labels) => labels !== null);
  if (labels.length > 0) return labels.some((labels) => firstError(labels) !== null);
  return view.scorer !== null && firstError(row.scores[view.scorer]) !== null;
}

function negative(value: number | null): number | null {
  return value === null ? null : -value;
}
