/** Geometry of the charts. */
import type { Chart } from './data';

type Points = Chart['series'][number]['points'];
type Scale = (value: number) => number;

const SMALL_PX = 560;

export interface Size {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly isNamed: boolean;
}

/** Sizes for a figure of so many pixels; in a wide one the curves' names stand at their ends. */
export function fit(pixels: number, isSquare: boolean, series: Chart['series']): Size {
  const width = Math.max(280, Math.min(pixels - 32, isSquare ? 460 : 1000));
  const longest = Math.max(0, ...series.map(({ name }) => name.length));
  const hasRight = series.some((one) => one.axis === 'right');
  const isNamed = series.length > 1 && width >= SMALL_PX;
  const height = isSquare ? width - 20 : Math.max(240, Math.min(0.45 * width, 400));
  return { width, height, left: 48, right: (isNamed ? 24 + 6.6 * longest : 16) + (hasRight ? 36 : 0), top: 24, bottom: 42, isNamed };
}

export interface Style {
  readonly color: string;
  readonly dashes: string;
  readonly mark: 'disc' | 'square' | 'diamond' | 'triangle';
}

/** Okabe and Ito's colors, lighter on dark ground; no two share color and dashes. */
const COLORS = [
  'light-dark(#0067a8, #56b4e9)',
  'light-dark(#b84a00, #ff9d5c)',
  'light-dark(#007a5a, #2fc59b)',
  'light-dark(#a3447e, #e795c4)',
  'light-dark(#5c6068, #b3b9c2)',
  'light-dark(#8a6a00, #e3c33d)',
];
const DASHES = ['none', '7 3', '2 3', '9 3 2 3'];
const KINDS = ['disc', 'square', 'diamond', 'triangle'] as const;

export const STYLES: readonly [Style, ...Style[]] = [styleAt(0), ...range(1, 24).map(styleAt)];

function styleAt(place: number): Style {
  const turn = Math.floor(place / COLORS.length);
  return {
    color: COLORS[place % COLORS.length] ?? 'currentcolor',
    dashes: DASHES[turn % DASHES.length] ?? 'none',
    mark: KINDS[(place + turn) % KINDS.length] ?? 'disc',
  };
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, k) => from + k);
}

/** Drawn around the origin. */
export const MARKS: Record<Style['mark'], string> = {
  disc: 'M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z',
  square: 'M-3.6,-3.6h7.2v7.2h-7.2z',
  diamond: 'M0,-5L5,0L0,5L-5,0z',
  triangle: 'M0,-4.6L4.6,3.6H-4.6z',
};

export function lineOf(points: readonly { x: number; y: number }[]): string {
  return points.map(({ x, y }, k) => `${k ? 'L' : 'M'}${x.toFixed(1)},${y.toFixed(1)}`).join('');
}

/** The area between the bounds of the points that have them. */
export function bandOf(points: Points, across: Scale, up: Scale): string {
  const bounded = points.flatMap(({ x, low, high }) =>
    low == null || high == null ? [] : [{ x: across(x), low: up(low), high: up(high) }],
  );
  if (bounded.length < 2) return '';
  const back = bounded.toReversed().map(({ x, low }) => ({ x, y: low }));
  return `${lineOf([...bounded.map(({ x, high }) => ({ x, y: high })), ...back])}Z`;
}

const LABEL_PX = 15;

/** Names beside the ends of curves, moved apart so that none covers another. */
export function labelsOf(ends: readonly { name: string; y: number }[]): { name: string; y: number }[] {
  const order = ends.map((_, place) => place).sort((a, b) => (ends[a]?.y ?? 0) - (ends[b]?.y ?? 0));
  const placed = ends.map((end) => ({ ...end }));
  let least = Number.NEGATIVE_INFINITY;
  for (const place of order) {
    const label = placed[place];
    if (label === undefined) continue;
    label.y = Math.max(label.y, least);
    least = label.y + LABEL_PX;
  }
  return placed;
}
