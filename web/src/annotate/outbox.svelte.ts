/**
 * Events on their way to the server. Each is in the browser's storage before anything else happens,
 * and leaves it when the server has answered: a page that is reloaded, a browser that dies and a
 * server that is away lose nothing. The server keeps each key once, so sending again does no harm.
 */
import { ApiError } from '../lib/api';
import { sendEvents, type Answer, type Sent } from './data';

const AT_ONCE = 100;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;

/** Statuses after which the same request may succeed; 0 is no answer at all. */
const PASSING = (status: number): boolean =>
  status === 0 || status === 401 || status === 408 || status === 429 || status >= 500;

export class Outbox {
  /** Events that the server has not answered. */
  waiting = $state.raw<readonly Sent[]>([]);
  /** Why the last try failed; null while all is well. */
  trouble = $state<string | null>(null);
  /** Whether the server asks who this is: only logging in again helps. */
  needsLogin = $state(false);

  readonly #place: string;
  readonly #answered: (answer: Answer, event: Sent) => void;
  #sending: Promise<void> | null = null;
  #waitMs = FIRST_WAIT_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(person: string, answered: (answer: Answer, event: Sent) => void) {
    this.#place = `rung.annotate.outbox.${person}`;
    this.#answered = answered;
    this.waiting = this.#read();
    window.addEventListener('storage', this.#reread);
    window.addEventListener('online', this.#hurry);
    void this.send();
  }

  /** Takes an event: when this returns, it is in the browser's storage. */
  add(event: Sent): void {
    this.#write([...this.#read(), event]);
    void this.send();
  }

  /** Sends what waits; resolves when nothing does any more, or the server does not answer. */
  send(): Promise<void> {
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = null;
      if (this.trouble === null && this.#batch().length > 0) void this.send(); // came at the last moment
    });
    return this.#sending;
  }

  async #sendAll(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      for (let batch = this.#batch(); batch.length > 0; batch = this.#batch()) await this.#sendBatch(batch);
      this.trouble = null;
      this.needsLogin = false;
    } catch (error) {
      this.#failed(error);
    }
  }

  #batch(): readonly Sent[] {
    return this.#read().slice(0, AT_ONCE);
  }

  async #sendBatch(batch: readonly Sent[]): Promise<void> {
    let answers: readonly Answer[];
    try {
      answers = await sendEvents(batch);
    } catch (error) {
      if (!(error instanceof ApiError) || PASSING(error.status)) throw error;
      if (batch.length > 1) {
        for (const event of batch) await this.#sendBatch([event]); // one is bad: find it
        return;
      }
      const [event] = batch;
      answers = event ? [{ key: event.key, status: 'refused', reason: error.message, step: null }] : [];
    }
    this.#waitMs = FIRST_WAIT_MS;
    const done = new Map(answers.map((answer) => [answer.key, answer]));
    this.#write(this.#read().filter((event) => !done.has(event.key)));
    for (const event of batch) {
      const answer = done.get(event.key);
      if (answer) this.#answered(answer, event);
    }
  }

  #failed(error: unknown): void {
    this.trouble = error instanceof Error ? error.message : String(error);
    this.needsLogin = error instanceof ApiError && error.status === 401;
    this.#timer = setTimeout(() => void this.send(), this.#waitMs);
    this.#waitMs = Math.min(2 * this.#waitMs, LONGEST_WAIT_MS);
  }

  /** Another tab may have changed what waits: the storage has the last word. */
  #read(): readonly Sent[] {
    try {
      const kept: unknown = JSON.parse(localStorage.getItem(this.#place) ?? '[]');
      return Array.isArray(kept) ? (kept as Sent[]) : [];
    } catch {
      return this.waiting; // no storage, or somebody else wrote there: this page's own memory
    }
  }

  #write(events: readonly Sent[]): void {
    this.waiting = events;
    try {
      localStorage.setItem(this.#place, JSON.stringify(events));
    } catch {
      this.trouble = 'This browser keeps nothing: leave the page open until all is saved.';
    }
  }

  readonly #reread = (): void => {
    this.waiting = this.#read();
  };

  readonly #hurry = (): void => {
    this.#waitMs = FIRST_WAIT_MS;
    void this.send();
  };
}
