import type { Route } from '../lib/router.svelte';
import Chains from './Chains.svelte';
import ChartsPage from './ChartsPage.svelte';
import Home from './Home.svelte';
import Run from './Run.svelte';
import Search from './Search.svelte';
import Searches from './Searches.svelte';

/** The pages of `rung view`. */
export const viewRoutes: readonly Route[] = [
  { pattern: '/', component: Home },
  { pattern: '/runs/:run', component: Run },
  { pattern: '/runs/:run/charts', component: ChartsPage },
  { pattern: '/runs/:run/chains/:file', component: Chains },
  { pattern: '/runs/:run/chains/:file/:chain', component: Chains },
  { pattern: '/runs/:run/searches/:file', component: Searches },
  { pattern: '/runs/:run/searches/:file/:problem', component: Search },
];
