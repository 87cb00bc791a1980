/** Which key does what; people may change it, and their browser remembers. */

export const ACTIONS = [
  { id: 'bad', does: 'bad: wrong, or hard to check, or leading nowhere', key: '1' },
  { id: 'okay', does: 'okay: right, but adds nothing', key: '2' },
  { id: 'great', does: 'great: right, easy to check, moves on', key: '3' },
  { id: 'unsure', does: 'unsure', key: 'u' },
  { id: 'next', does: 'next step', key: 'j' },
  { id: 'previous', does: 'previous step', key: 'k' },
  { id: 'submit', does: 'submit, and on to the next chain', key: 'Enter' },
  { id: 'back', does: 'back to the chain before', key: 'Backspace' },
  { id: 'undo', does: 'take the last rating or written step back', key: 'Ctrl+z' },
  { id: 'alternatives', does: 'alternatives at this step', key: 'a' },
  { id: 'write', does: 'write a better step', key: 'e' },
  { id: 'scores', does: "show scorers' scores", key: 's' },
  { id: 'giveUp', does: 'give up', key: 'g' },
  { id: 'badProblem', does: 'bad problem', key: 'b' },
  { id: 'instructions', does: 'instructions', key: 'i' },
] as const;

export type Action = (typeof ACTIONS)[number]['id'];
type Keymap = Record<Action, string>;

const PLACE = 'rung.annotate.keys';
const DEFAULTS = Object.fromEntries(ACTIONS.map(({ id, key }) => [id, key])) as Keymap;
const NAMES: Record<string, string> = { ' ': 'Space', Backspace: '⌫', Enter: '↵', 'Ctrl+z': 'Ctrl Z' };

let map = $state.raw<Keymap>(remembered());

export const keymap = {
  keyOf: (action: Action): string => map[action],
  shown: (action: Action): string => shownKey(map[action]),
  get isChanged(): boolean {
    return ACTIONS.some(({ id, key }) => map[id] !== key);
  },
  /** Gives a key to an action; what had it gets the action's old one. */
  set(action: Action, key: string): void {
    const changed = { ...map };
    const other = ACTIONS.find(({ id }) => changed[id] === key);
    if (other) changed[other.id] = changed[action];
    changed[action] = key;
    keep(changed);
  },
  reset(): void {
    keep(DEFAULTS);
  },
};

export function shownKey(key: string): string {
  return NAMES[key] ?? key;
}

function keep(changed: Keymap): void {
  map = changed;
  try {
    localStorage.setItem(PLACE, JSON.stringify(changed));
  } catch {
    // then the keys hold for this page alone
  }
}

function remembered(): Keymap {
  try {
    const kept = JSON.parse(localStorage.getItem(PLACE) ?? '{}') as Partial<Record<string, unknown>>;
    const known = ACTIONS.filter(({ id }) => typeof kept[id] === 'string');
    return { ...DEFAULTS, ...Object.fromEntries(known.map(({ id }) => [id, kept[id]])) };
  } catch {
    return DEFAULTS;
  }
}
