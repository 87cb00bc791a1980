/** What the server and the rating pages tell each other. */
import { getJson, sendJson } from '../lib/api';
import type { components } from '../lib/openapi';

type Schemas = components['schemas'];
export type Task = Schemas['Task'];
export type TaskStep = Schemas['TaskStep'];
export type Me = Schemas['Me'];
export type Sent = Schemas['SentEvent'];
export type Answer = Schemas['Answer'];
export type Status = Schemas['RatingStatus'];
export type Opinions = Schemas['Opinions'];

const BASE = 'v1/annotate';

export const loadMe = (): Promise<Me> => getJson(`${BASE}/me`);
export const loadStatus = (): Promise<Status> => getJson(`${BASE}/status`);

export function loadTask(chain: string): Promise<Task> {
  return getJson(`${BASE}/chains/${encodeURIComponent(chain)}`);
}

/** The chain that is begun, or the next one: of a queue by its name, or of all of the person's. */
export async function nextTask(
  purpose: 'rate' | 'adjudicate',
  queue: string | null,
): Promise<Task | null> {
  return (await sendJson<Schemas['Given']>(`${BASE}/next`, { purpose, queue })).task;
}

export async function sendEvents(events: readonly Sent[]): Promise<readonly Answer[]> {
  return (await sendJson<Schemas['Taken']>(`${BASE}/events`, { events })).answers;
}

export function showScores(chain: string): Promise<Task> {
  const body = { key: newKey(), at_ms: Date.now() };
  return sendJson(`${BASE}/chains/${encodeURIComponent(chain)}/scores`, body);
}

export function exportAddress(format: 'rung' | 'trl' | 'prm800k'): string {
  return `${BASE}/export?format=${format}`;
}

/** A name for an event, by which the server knows it again. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
