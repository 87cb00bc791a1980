/** The four answers: a word, a face and a color each, so that none is told by color alone. */
import type { Action } from './keys.svelte';
import type { Rated } from './work.svelte';

export interface Choice {
  readonly action: Action & ('bad' | 'okay' | 'great' | 'unsure');
  readonly rating: -1 | 0 | 1 | null;
  readonly word: string;
  /** The mouth of its face, in a box of 24; a question mark for unsure. */
  readonly mouth: string;
}

export const CHOICES: readonly Choice[] = [
  { action: 'bad', rating: -1, word: 'Bad', mouth: 'M8 16.5c1-1.7 2.4-2.5 4-2.5s3 .8 4 2.5' },
  { action: 'okay', rating: 0, word: 'Okay', mouth: 'M8 15.5h8' },
  { action: 'great', rating: 1, word: 'Great', mouth: 'M8 14.5c1 1.7 2.4 2.5 4 2.5s3-.8 4-2.5' },
  { action: 'unsure', rating: null, word: 'Unsure', mouth: '' },
];

export function choiceOf(rated: Rated | undefined): Choice | null {
  if (rated === undefined) return null;
  return CHOICES.find((choice) => choice.rating === rated.rating) ?? null;
}

export const FINISHES = {
  found_error: 'first error found',
  solution: 'no error',
  bad_problem: 'bad problem',
  give_up: 'given up',
} as const;
