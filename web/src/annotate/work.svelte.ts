/**
 * One person's work on one chain: what the server knows, with what is on its way to it. The state
 * is worked out from the changes that stand, here as on the server, so that a key press shows at
 * once and undo is one more event.
 */
import { newKey, type Answer, type Sent, type Task, type TaskStep } from './data';

export interface Rated {
  /** -1, 0 or 1; null for unsure. */
  readonly rating: number | null;
  readonly is_unsure: boolean;
}

interface Change extends Rated {
  readonly key: string;
  readonly kind: 'rate' | 'write';
  readonly step: string;
}

export interface Row {
  readonly step: TaskStep;
  /** Its place in the chain, from 0; that of the step that it could replace. */
  readonly place: number;
  readonly isAlternative: boolean;
}

type Add = (event: Sent) => void;

export class Work {
  readonly task: Task;
  changes = $state.raw<readonly Change[]>([]);
  written = $state.raw<readonly TaskStep[]>([]);
  finish = $state<Task['finish']>(null);
  /** The step of which alternatives are shown; null: none. */
  opened = $state<number | null>(null);
  position = $state(0);

  readonly rated = $derived(this.#fold());
  readonly frontier = $derived(this.#frontier());
  readonly firstBad = $derived(this.#firstBad());
  readonly rows = $derived(this.#rows());
  readonly current = $derived(this.rows[Math.min(this.position, this.rows.length - 1)]);

  readonly #rateAll: boolean;
  readonly #add: Add;
  #since = performance.now();
  #awayMs = 0;

  constructor(task: Task, rateAll: boolean, waiting: readonly Sent[], add: Add) {
    this.task = task;
    this.#rateAll = rateAll;
    this.#add = add;
    this.changes = task.changes;
    this.finish = task.finish;
    for (const event of waiting) if (event.chain === task.chain) this.#apply(event);
    const start = this.isComplete && this.firstBad >= 0 ? this.firstBad : this.frontier;
    this.position = Math.max(0, Math.min(start, task.steps.length - 1));
  }

  /** Whether it may be submitted: the first bad step is found, or all steps are rated. */
  get isComplete(): boolean {
    const all = this.frontier === this.task.steps.length;
    return all || (!this.#rateAll && this.firstBad >= 0 && this.frontier > this.firstBad);
  }

  /** Steps that are open: those rated, and the one after them. */
  isReached(place: number): boolean {
    const isPast = !this.#rateAll && this.firstBad >= 0 && place > this.firstBad;
    return isPast ? this.rated.has(this.task.steps[place]?.id ?? '') : place <= this.frontier;
  }

  rate(rating: -1 | 0 | 1 | null): void {
    const row = this.current;
    if (row === undefined || !this.isReached(row.place)) return;
    this.#reopen();
    this.#do({ kind: 'rate', step: row.step.id, rating, is_unsure: rating === null });
    if (row.isAlternative || rating !== -1 || this.#rateAll) this.move(1);
  }

  write(text: string): void {
    const row = this.current;
    if (row === undefined) return;
    this.opened = row.place;
    const same = this.rows.find((other) => other.place === row.place && other.step.text === text);
    if (same !== undefined) return this.select(same); // it is there already
    this.#reopen();
    this.#do({ kind: 'write', parent: row.step.parent, text });
    const own = this.rows.findLast((other) => other.place === row.place);
    if (own !== undefined) this.select(own);
  }

  undo(): boolean {
    const last = this.changes.at(-1);
    if (last === undefined) return false;
    this.#reopen();
    const rated = this.task.steps.findIndex((step) => step.id === last.step);
    this.#do({ kind: 'undo', undoes: last.key });
    if (rated >= 0) this.goTo(rated);
    return true;
  }

  submit(finish: 'bad_problem' | 'give_up' | null, text: string | null): void {
    this.#do({ kind: 'submit', finish, text });
  }

  move(by: number): void {
    const open = this.rows.findLastIndex((row) => this.isReached(row.place));
    this.position = Math.max(0, Math.min(this.position + by, open));
  }

  goTo(place: number): void {
    const found = this.rows.findIndex((row) => !row.isAlternative && row.place === place);
    if (found >= 0 && this.isReached(place)) this.position = found;
  }

  select(row: Row): void {
    const found = this.rows.findIndex((other) => other.step.id === row.step.id);
    if (found >= 0 && this.isReached(row.place)) this.position = found;
  }

  toggleAlternatives(): void {
    const row = this.current;
    if (row === undefined) return;
    this.opened = this.opened === row.place ? null : row.place;
    this.goTo(row.place);
  }

  alternativesAt(place: number): readonly TaskStep[] {
    const parent = this.task.steps[place]?.parent;
    const all = [...this.task.alternatives.filter((step) => !step.is_own || this.#stands(step.id)), ...this.written];
    return all.filter((step) => step.parent === parent);
  }

  /** The server has answered: a written step now has its id. */
  answered(answer: Answer, event: Sent): void {
    const { step } = answer;
    if (event.kind !== 'write' || answer.status === 'refused' || !step) return;
    const name = `write:${event.key}`;
    this.written = this.written.map((one) => (one.id === name ? { ...one, id: step } : one));
    this.changes = this.changes.map((one) => (one.step === name ? { ...one, step } : one));
  }

  /** Time in which nobody looks at the page is not counted. */
  setVisible(isVisible: boolean): void {
    if (isVisible) this.#since = performance.now();
    else this.#awayMs += performance.now() - this.#since;
  }

  #reopen(): void {
    if (this.finish !== null) this.#do({ kind: 'reopen' });
  }

  #do(what: Partial<Sent> & Pick<Sent, 'kind'>): void {
    const took = this.#awayMs + performance.now() - this.#since;
    this.#awayMs = 0;
    this.#since = performance.now();
    const event: Sent = {
      rating: null,
      is_unsure: false,
      scores_shown: this.task.scores.length > 0,
      ...what,
      key: newKey(),
      chain: this.task.chain,
      took_ms: Math.min(Math.round(took), 24 * 3600 * 1000),
      at_ms: Date.now(),
    };
    this.#apply(event);
    this.#add(event);
  }

  #apply(event: Sent): void {
    if (event.kind === 'undo') {
      const undone = this.changes.find((change) => change.key === event.undoes);
      this.changes = this.changes.filter((change) => change !== undone);
      if (undone?.kind === 'write') this.written = this.written.filter((step) => step.id !== undone.step);
    } else if (event.kind === 'submit') {
      this.finish = event.finish ?? (this.firstBad >= 0 ? 'found_error' : 'solution');
    } else if (event.kind === 'reopen') {
      this.finish = null;
    } else if (event.kind === 'rate' || event.kind === 'write') {
      this.#change(event.kind, event);
    }
  }

  #change(kind: 'rate' | 'write', event: Sent): void {
    if (this.changes.some((change) => change.key === event.key)) return; // the server has it
    const step = event.step ?? `write:${event.key}`;
    const { key, rating = null, is_unsure = false } = event;
    this.changes = [...this.changes, { key, kind, step, rating, is_unsure }];
    if (kind === 'write') {
      const text = event.text ?? '';
      const parent = event.parent ?? '';
      this.written = [...this.written, { id: step, parent, text, role: null, observation: null, is_own: true }];
    }
  }

  /** Whether the person wrote this step and did not take it back. */
  #stands(step: string): boolean {
    return this.changes.some((change) => change.kind === 'write' && change.step === step);
  }

  #fold(): ReadonlyMap<string, Rated> {
    const rated = new Map<string, Rated>(this.task.carried.map((one) => [one.step, one as Rated]));
    for (const change of this.changes) if (change.kind === 'rate') rated.set(change.step, change);
    return rated;
  }

  /** How many steps are rated without a gap. */
  #frontier(): number {
    const open = this.task.steps.findIndex((step) => !this.rated.has(step.id));
    return open < 0 ? this.task.steps.length : open;
  }

  #firstBad(): number {
    return this.task.steps.findIndex((step) => this.rated.get(step.id)?.rating === -1);
  }

  #rows(): readonly Row[] {
    return this.task.steps.flatMap((step, place) => [
      { step, place, isAlternative: false },
      ...(this.opened === place
        ? this.alternativesAt(place).map((other) => ({ step: other, place, isAlternative: true }))
        : []),
    ]);
  }
}
