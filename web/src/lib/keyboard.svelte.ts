/** Keys of the pages: what is on at the moment, and what "?" shows. */
import { onDestroy } from 'svelte';

export interface Shortcut {
  /** As `KeyboardEvent.key` has it, with "Ctrl+" before it where that is held: "n", "Ctrl+z". */
  readonly keys: readonly string[];
  /** What it does, for people: "next disagreement". */
  readonly does: string;
  readonly run: (event: KeyboardEvent) => void;
}

interface Group {
  readonly title: string;
  readonly shortcuts: () => readonly Shortcut[];
}

let list = $state.raw<readonly Group[]>([]);

export const keyboard = {
  get groups(): readonly Group[] {
    return list;
  },
};

/** Puts shortcuts in force for as long as the calling component is there. */
export function useShortcuts(title: string, shortcuts: () => readonly Shortcut[]): void {
  const group = { title, shortcuts };
  list = [...list, group];
  onDestroy(() => (list = list.filter((other) => other !== group)));
}

/** Gives a key to the latest component that wants it; text fields and open dialogs keep theirs. */
export function press(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.altKey || takesKey(event)) return;
  if (document.querySelector('dialog[open]') !== null) return;
  const name = nameOf(event);
  const wanted = list.flatMap((group) => group.shortcuts()).findLast((s) => s.keys.includes(name));
  if (wanted === undefined) return;
  event.preventDefault();
  wanted.run(event);
}

export function nameOf(event: KeyboardEvent): string {
  const key = event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key;
  return event.ctrlKey || event.metaKey ? `Ctrl+${key.toLowerCase()}` : key;
}

function takesKey(event: KeyboardEvent): boolean {
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.matches('textarea, select')) return true;
  if (target instanceof HTMLInputElement) return !['checkbox', 'radio', 'button'].includes(target.type);
  return ['Enter', ' '].includes(event.key) && target.matches('button, a[href], summary');
}
