import { annotateRoutes } from './annotate/routes';
import type { Route } from './lib/router.svelte';
import { viewRoutes } from './view/routes';

export const ROUTES: readonly Route[] = [...viewRoutes, ...annotateRoutes];
