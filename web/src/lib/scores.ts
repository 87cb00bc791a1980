/** How scores look: one scale from orange (wrong) to blue (right), beside a number and a sign. */

/** A CSS color that suits light and dark. */
export function colorOf(score: number | null): string {
  if (score === null) return 'var(--none)';
  const side = score < 0.5 ? 'var(--bad)' : 'var(--good)';
  const share = Math.round(25 + 75 * Math.min(1, Math.abs(score - 0.5) * 2));
  return `color-mix(in oklab, ${side} ${share}%, var(--middle))`;
}

/** Two places, cut so that nothing short of 1 reads as 1: what a scorer doubts must show. */
export function number(score: number | null): string {
  if (score === null) return '–';
  if (score > 0 && score < 0.005) return '<.01';
  if (score < 1 && score > 0.995) return '>.99';
  return score.toFixed(2).replace(/^0/, '');
}

export type Mark = 'right' | 'wrong' | 'none';

/** A score or label below 0.5 is a doubt, as everywhere in rung. */
export function markOf(score: number | null): Mark {
  if (score === null) return 'none';
  return score < 0.5 ? 'wrong' : 'right';
}

export function percent(share: number | null, places = 1): string {
  return share === null ? '–' : `${(share * 100).toFixed(places)}%`;
}
