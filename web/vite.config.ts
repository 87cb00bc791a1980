import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

/**
 * One classic script and one style sheet by relative address: browsers refuse modules and
 * cross-origin attributes on pages opened from disk, and a bundle is opened from disk.
 */
function classicScript(): Plugin {
  return {
    name: 'classic-script',
    enforce: 'post',
    apply: 'build',
    transformIndexHtml: (html) =>
      html
        .replace('<script type="module" crossorigin', '<script defer')
        .replace('<link rel="stylesheet" crossorigin', '<link rel="stylesheet"'),
  };
}

/** KaTeX names each font in three forms; every browser that runs these pages reads woff2. */
function woff2Only(): Plugin {
  return {
    name: 'woff2-only',
    enforce: 'pre',
    transform: (code, id) =>
      id.endsWith('katex.min.css')
        ? code.replaceAll(/,\s*url\([^)]*\.(?:woff|ttf)\)\s*format\([^)]*\)/g, '')
        : undefined,
  };
}

export default defineConfig({
  base: './',
  plugins: [woff2Only(), svelte(), classicScript()],
  server: { proxy: { '/v1': { target: 'http://localhost:8000', changeOrigin: true } } },
  build: {
    outDir: '../src/rung/serve/web',
    emptyOutDir: true,
    target: ['chrome123', 'firefox120', 'safari17.5'], // the first with light-dark()
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1000,
    rolldownOptions: { output: { format: 'iife' } },
  },
});
