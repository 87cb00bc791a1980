/** What a search's tree looked like after some of its events. */
import { hierarchy, tree as layoutOf } from 'd3-hierarchy';
import type { SearchTree, TreeNode } from './data';

export interface Spot {
  readonly index: number;
  readonly node: TreeNode;
  readonly depth: number;
  readonly x: number;
  readonly y: number;
  readonly parent: { readonly x: number; readonly y: number };
}

export interface Drawing {
  readonly spots: readonly Spot[];
  readonly root: { readonly x: number; readonly y: number };
  readonly width: number;
  readonly height: number;
}

export const GAP = { across: 92, down: 30, margin: 26, right: 110 };

/** Places for all nodes of the whole tree, so that none moves while it is replayed. */
export function draw(tree: SearchTree): Drawing {
  const below = new Map<number | null, number[]>();
  for (const [index, node] of tree.nodes.entries()) {
    const parent = node.parent ?? null;
    below.set(parent, [...(below.get(parent) ?? []), index]);
  }
  const top = hierarchy<number | null>(null, (at) => below.get(at) ?? []);
  const laid = layoutOf<number | null>().nodeSize([GAP.down, GAP.across]).separation(() => 1)(top);
  const all = laid.descendants();
  const least = Math.min(...all.map((one) => one.x));
  const place = (one: { x: number; y: number }) => ({
    x: one.y + GAP.margin,
    y: one.x - least + GAP.margin,
  });
  const spots = all.flatMap((one) => {
    const node = one.data === null ? undefined : tree.nodes[one.data];
    if (node === undefined || one.data === null || one.parent === null) return [];
    return [{ index: one.data, node, depth: one.depth, ...place(one), parent: place(one.parent) }];
  });
  const places = all.map(place);
  return {
    spots,
    root: place(laid),
    width: Math.max(...places.map(({ x }) => x)) + GAP.right,
    height: Math.max(...places.map(({ y }) => y)) + GAP.margin,
  };
}

export interface Moment {
  /** Continuations that ran through each node so far. */
  readonly visits: readonly number[];
  readonly isFaint: readonly boolean[];
  readonly chosen: ReadonlySet<number>;
  /** The node of the latest event. */
  readonly touched: ReadonlySet<number>;
  readonly spent: { readonly sampled: number; readonly scored: number; readonly calls: number };
  readonly says: string;
}

const SAYS = { sampled: 'wrote', scored: 'scored', ended: 'ended' };

/** The state after the first `at` events. */
export function momentOf(tree: SearchTree, at: number): Moment {
  const past = tree.events.slice(0, at);
  const latest = past.at(-1);
  const visits = new Array<number>(tree.nodes.length).fill(0);
  for (const end of past.flatMap((event) => event.ends)) {
    for (const place of pathOf(tree, end)) visits[place] = (visits[place] ?? 0) + 1;
  }
  const kept = new Set<number>();
  for (const [place, node] of tree.nodes.entries()) {
    if (node.finished != null && node.finished < at) pathOf(tree, place).forEach((p) => kept.add(p));
  }
  const newest = past.findLastIndex((event) => event.kind === 'sampled');
  const isFaint = tree.nodes.map(
    (node, place) => !kept.has(place) && node.born < newest && (node.grows_until ?? -1) < at,
  );
  const isOver = latest?.kind === 'ended';
  return {
    visits,
    isFaint,
    chosen: new Set(isOver && tree.chosen !== null ? pathOf(tree, tree.chosen) : []),
    touched: new Set(latest ? [...latest.ends, latest.origin ?? -1] : []),
    spent: {
      sampled: latest?.tokens_sampled ?? 0,
      scored: latest?.tokens_scored ?? 0,
      calls: latest?.calls ?? 0,
    },
    says: latest ? `${SAYS[latest.kind]}${latest.ends.length > 1 ? ` ${latest.ends.length}` : ''}` : 'begins',
  };
}

/** How many events had happened when no more than so many tokens were sampled. */
export function eventsWithin(tree: SearchTree, tokens: number): number {
  return tree.events.findLastIndex((event) => event.tokens_sampled <= tokens) + 1;
}

/** The places of a node and all above it, from the first step on. */
export function pathOf(tree: SearchTree, place: number): number[] {
  const path: number[] = [];
  for (let at: number | null = place; at !== null; at = tree.nodes[at]?.parent ?? null) path.push(at);
  return path.reverse();
}
