// Arithmetic by recursive descent: what a model writes is read, never run.
import { ToolError } from './types';

const FUNCTIONS: Record<string, (...values: number[]) => number> = {
  abs: Math.abs, sqrt: Math.sqrt, cbrt: Math.cbrt, exp: Math.exp, ln: Math.log, log: Math.log10, log2: Math.log2,
  sin: Math.sin, cos: Math.cos, tan: Math.tan, asin: Math.asin, acos: Math.acos, atan: Math.atan,
  round: Math.round, floor: Math.floor, ceil: Math.ceil, min: Math.min, max: Math.max,
};
const SEVERAL = new Set(['min', 'max']);
const CONSTANTS: Record<string, number> = { pi: Math.PI, e: Math.E };
const MOST_CHARACTERS = 1000;
const MOST_NESTING = 100;

const TOKEN = /\s*(?:(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?)|([a-z]\w*)|(\*\*|[-+*/%^(),]))/giy;

interface Token {
  kind: 'number' | 'name' | 'sign' | 'end';
  text: string;
}

function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  const pattern = new RegExp(TOKEN);
  // As people and models write them.
  const text = source.replaceAll('×', '*').replaceAll('·', '*').replaceAll('÷', '/').replaceAll('−', '-').trimEnd();
  while (pattern.lastIndex < text.length) {
    const at = pattern.lastIndex;
    const found = pattern.exec(text);
    if (found === null) throw new ToolError(`"${text.slice(at).trim().slice(0, 20)}" cannot be read here`);
    const [, number, name, sign = ''] = found;
    tokens.push(number !== undefined ? { kind: 'number', text: number } : name !== undefined ? { kind: 'name', text: name.toLowerCase() } : { kind: 'sign', text: sign === '**' ? '^' : sign });
  }
  return [...tokens, { kind: 'end', text: 'the end' }];
}

class Reader {
  #at = 0;
  #depth = 0;

  constructor(readonly tokens: readonly Token[]) {}

  whole(): number {
    const value = this.#sum();
    if (this.#next.kind !== 'end') throw new ToolError(`"${this.#next.text}" is not expected there`);
    return value;
  }

  get #next(): Token {
    return this.tokens[this.#at]!;
  }

  /** The sign at this place if it is one of these; goes past it. */
  #take(...signs: string[]): string | null {
    const { kind, text } = this.#next;
    if (kind !== 'sign' || !signs.includes(text)) return null;
    this.#at += 1;
    return text;
  }

  #expect(sign: string): void {
    if (this.#take(sign) === null) throw new ToolError(`"${sign}" is missing before ${this.#next.text}`);
  }

  #sum(): number {
    if (++this.#depth > MOST_NESTING) throw new ToolError('the expression is nested too deeply');
    let value = this.#product();
    for (let sign; (sign = this.#take('+', '-')) !== null; ) {
      const right = this.#product();
      value = sign === '+' ? value + right : value - right;
    }
    this.#depth -= 1;
    return value;
  }

  #product(): number {
    let value = this.#signed();
    for (let sign; (sign = this.#take('*', '/', '%')) !== null; ) {
      const right = this.#signed();
      if (sign !== '*' && right === 0) throw new ToolError('division by zero');
      value = sign === '*' ? value * right : sign === '/' ? value / right : value % right;
    }
    return value;
  }

  // −2^2 is −4, and 2^−1 a half.
  #signed(): number {
    let negative = false;
    for (let sign; (sign = this.#take('+', '-')) !== null; ) if (sign === '-') negative = !negative;
    const value = this.#power();
    return negative ? -value : value;
  }

  #power(): number {
    const base = this.#atom();
    if (this.#take('^') === null) return base;
    if (++this.#depth > MOST_NESTING) throw new ToolError('the expression is nested too deeply');
    const value = base ** this.#signed();
    this.#depth -= 1;
    return value;
  }

  #atom(): number {
    const { kind, text } = this.#next;
    if (kind === 'number') {
      this.#at += 1;
      return Number(text);
    }
    if (kind === 'name') {
      this.#at += 1;
      return this.#named(text);
    }
    if (this.#take('(') === null) throw new ToolError(`a number is missing before ${text}`);
    const value = this.#sum();
    this.#expect(')');
    return value;
  }

  #named(name: string): number {
    if (Object.hasOwn(CONSTANTS, name)) return CONSTANTS[name]!;
    if (!Object.hasOwn(FUNCTIONS, name)) throw new ToolError(`"${name}" is not known; functions are ${Object.keys(FUNCTIONS).join(', ')}`);
    this.#expect('(');
    const values = [this.#sum()];
    while (this.#take(',') !== null) values.push(this.#sum());
    this.#expect(')');
    if (values.length > 1 && !SEVERAL.has(name)) throw new ToolError(`${name} takes one value`);
    return FUNCTIONS[name]!(...values);
  }
}

/** The value of an expression. Throws ToolError for what is none, or has no finite value. */
export function calculate(expression: string): number {
  if (expression.length > MOST_CHARACTERS) throw new ToolError(`the expression is longer than ${MOST_CHARACTERS} characters`);
  const value = new Reader(tokensOf(expression)).whole();
  if (!Number.isFinite(value)) throw new ToolError('the result is not a finite number');
  return value;
}
