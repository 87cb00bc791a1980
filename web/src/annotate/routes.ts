import type { Route } from '../lib/router.svelte';

/** The pages of `rung annotate`, under "/annotate". */
export const annotateRoutes: readonly Route[] = [];
