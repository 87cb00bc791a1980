/** How things are said. */
import type { RunEntry, Verdict } from './data';

const KINDS: Record<RunEntry['files'][number]['kind'], string> = {
  chains: 'chains',
  search: 'search trees',
  curves: 'curves',
  steps: 'step measures',
  'first-errors': 'first errors',
  training: 'training',
  rl: 'RL',
};

/** What a run holds, each kind once. */
export function kindsOf(run: RunEntry): string[] {
  return [...new Set(run.files.map((file) => KINDS[file.kind]))];
}

export function when(seconds: number): string {
  return new Date(seconds * 1000).toLocaleString(undefined, {
    dateStyle: 'medium',
    timeStyle: 'short',
  });
}

export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  let value = bytes;
  while (value >= 1000 && units.length > 1) {
    value /= 1000;
    units.shift();
  }
  return `${value < 10 && units[0] !== 'B' ? value.toFixed(1) : Math.round(value)} ${units[0]}`;
}

export const VERDICTS: Record<Verdict, string> = {
  correct: 'right answer',
  incorrect: 'wrong answer',
  unparsed: 'no answer that could be read',
  timeout: 'answer not checked in time',
};

export function markOfVerdict(verdict: Verdict | null): 'right' | 'wrong' | 'none' {
  if (verdict === 'correct') return 'right';
  return verdict === 'incorrect' ? 'wrong' : 'none';
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}
