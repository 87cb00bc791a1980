import type { Route } from '../lib/router.svelte';
import Home from './Home.svelte';

/** The pages of `rung view`. */
export const viewRoutes: readonly Route[] = [{ pattern: '/', component: Home }];
