/** Who rates, what waits to be saved, and what was done since the page was opened. */
import { loadMe, type Answer, type Me, type Sent } from './data';
import { match, path, router } from '../lib/router.svelte';
import { Outbox } from './outbox.svelte';

type Listener = (answer: Answer, event: Sent) => void;

let me = $state.raw<Me | null>(null);
let outbox = $state.raw<Outbox | null>(null);
let submitted = $state(0);
let listener: Listener = () => undefined;

export const session = {
  get me(): Me | null {
    return me;
  },
  get outbox(): Outbox | null {
    return outbox;
  },
  /** Chains submitted since the page was opened. */
  get submitted(): number {
    return submitted;
  },
  /** The queue that the address names; null for all of the person's, one after the other. */
  get queue(): string | null {
    return match('/annotate/queues/:queue', router.path)?.['queue'] ?? router.query.get('queue');
  },
  /** The address at which the next chain is found. */
  get nextPath(): string {
    const { queue } = session;
    return queue === null ? '/annotate' : path('annotate', 'queues', queue);
  },
  /** Asks who this is and how far everything is. */
  async refresh(): Promise<Me> {
    me = await loadMe();
    if (outbox === null) outbox = new Outbox(me.name, answered);
    return me;
  },
  /** The page that wants to know what became of its events. */
  listen(to: Listener): void {
    listener = to;
  },
};

function answered(answer: Answer, event: Sent): void {
  if (event.kind === 'submit' && answer.status === 'saved') {
    submitted += 1;
    void session.refresh().catch(() => undefined); // the numbers may be a little old
  }
  listener(answer, event);
}
