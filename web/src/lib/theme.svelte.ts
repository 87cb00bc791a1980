/** Light, dark, or as the system has it. */
export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

const KEY = 'rung.theme';

function remembered(): Theme {
  const kept = read();
  return THEMES.find((theme) => theme === kept) ?? 'system';
}

let theme = $state<Theme>(remembered());
show(remembered());

export const appearance = {
  get theme(): Theme {
    return theme;
  },
  set theme(value: Theme) {
    theme = value;
    show(value);
    keep(value);
  },
};

function show(value: Theme): void {
  if (value === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = value;
}

function read(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // a browser may forbid it to pages from disk
  }
}

function keep(value: Theme): void {
  try {
    localStorage.setItem(KEY, value);
  } catch {
    // then the choice holds for this page alone
  }
}
