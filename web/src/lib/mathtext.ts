/** Finds the formulas in a text. What is not a formula stays the text that it is, never HTML. */

export interface Piece {
  readonly kind: 'text' | 'inline' | 'display';
  readonly text: string;
}

const MAX_FORMULA_CHARS = 4000;

/**
 * A dollar sign opens a formula only before something that is no blank, and closes it only behind
 * such and before no digit (Pandoc's rule): "costs $5 and $6" holds no formula.
 */
const FORMULA = new RegExp(
  [
    String.raw`\\\$`, // an escaped dollar sign, not a formula
    String.raw`\$\$(?<dollars>[^$]+)\$\$`,
    String.raw`\\\[(?<bracket>[\s\S]+?)\\\]`,
    String.raw`\\\((?<parenthesis>[\s\S]+?)\\\)`,
    String.raw`(?<environment>\\begin\{(?<name>(?:align|aligned|gather|equation|cases|array|[pbvBV]?matrix)\*?)\}[\s\S]+?\\end\{\k<name>\})`,
    String.raw`\$(?<dollar>(?!\s)(?:\\[\s\S]|[^$\\\n])+?)(?<!\s)\$(?!\d)`,
  ].join('|'),
  'g',
);

export function piecesOf(text: string): Piece[] {
  const pieces: Piece[] = [];
  let plain = '';
  let end = 0;
  for (const found of text.matchAll(FORMULA)) {
    plain += text.slice(end, found.index);
    end = found.index + found[0].length;
    const formula = formulaOf(found);
    if (formula === null) {
      plain += found[0] === '\\$' ? '$' : found[0];
      continue;
    }
    if (plain) pieces.push({ kind: 'text', text: plain });
    plain = '';
    pieces.push(formula);
  }
  plain += text.slice(end);
  if (plain) pieces.push({ kind: 'text', text: plain });
  return pieces;
}

function formulaOf(found: RegExpExecArray): Piece | null {
  const { dollars, bracket, parenthesis, environment, dollar } = found.groups ?? {};
  const display = dollars ?? bracket ?? environment;
  const text = display ?? parenthesis ?? dollar;
  if (text === undefined || text.length > MAX_FORMULA_CHARS) return null;
  return { kind: display === undefined ? 'inline' : 'display', text };
}
