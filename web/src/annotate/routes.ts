import type { Route } from '../lib/router.svelte';
import NextPage from './NextPage.svelte';
import RatePage from './RatePage.svelte';
import TeamPage from './TeamPage.svelte';

/** The pages of `rung annotate`, under "/annotate". */
export const annotateRoutes: readonly Route[] = [
  { pattern: '/annotate', component: NextPage },
  { pattern: '/annotate/settle', component: NextPage },
  { pattern: '/annotate/queues/:queue', component: NextPage },
  { pattern: '/annotate/team', component: TeamPage },
  { pattern: '/annotate/chains/:chain', component: RatePage },
];

/**
 * A person's link is SERVER/annotate#token=TOKEN: the login page takes the token, and who has logged
 * in before comes here with it.
 */
function leaveLink(): void {
  const isLink = location.hash.startsWith('#token=');
  if (!location.pathname.endsWith('/annotate') || !(isLink || location.hash === '')) return;
  history.replaceState(null, '', '#/annotate');
  window.dispatchEvent(new HashChangeEvent('hashchange'));
}

leaveLink();
window.addEventListener('hashchange', leaveLink);
