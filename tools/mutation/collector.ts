/** Stands in for `node:test` under mutation: tests are collected, to be called again and again in one process. */

type Body = (context: TestContext) => unknown;
type Hook = () => unknown;

export interface Setup {
  readonly run: Hook;
  /** Of all in its file. */
  readonly ordinal: number;
}

interface Suite {
  readonly parent: Suite | undefined;
  readonly name: string;
  readonly before: Setup[];
  readonly beforeEach: Hook[];
  readonly afterEach: Hook[];
}

export interface CollectedTest {
  readonly name: string;
  readonly suite: Suite;
  readonly body: Body;
}

export interface CollectedFile {
  readonly tests: readonly CollectedTest[];
  /** Hooks that clean up for good: run once, when the process ends. */
  readonly last: readonly Hook[];
}

let suite: Suite = newSuite(undefined, "");
let tests: CollectedTest[] = [];
let last: Hook[] = [];
let setups = 0;

/** Collects what a file registers while it is loaded. */
export async function collect(load: () => Promise<unknown>): Promise<CollectedFile> {
  suite = newSuite(undefined, "");
  tests = [];
  last = [];
  setups = 0;
  await load();
  return { tests, last };
}

/** Suites of a test, outermost first. */
export function suitesOf({ suite: innermost }: CollectedTest): readonly Suite[] {
  const suites: Suite[] = [];
  for (let own: Suite | undefined = innermost; own !== undefined; own = own.parent) suites.unshift(own);
  return suites;
}

export class TestContext {
  readonly name: string;
  readonly cleanUps: Hook[] = [];

  constructor(name: string) {
    this.name = name;
  }

  after(hook: Hook): void {
    this.cleanUps.push(hook);
  }

  diagnostic(): void {}

  skip(): void {}

  async test(name: string, ...rest: readonly unknown[]): Promise<void> {
    await callBody(name, bodyOf(rest));
  }
}

/** Calls a test's body, and cleans up after it. */
export async function callBody(name: string, body: Body): Promise<void> {
  const context = new TestContext(name);
  try {
    await body(context);
  } finally {
    for (const hook of context.cleanUps.toReversed()) await hook();
  }
}

function newSuite(parent: Suite | undefined, name: string): Suite {
  return { parent, name, before: [], beforeEach: [], afterEach: [] };
}

/** `test(name)`, `test(name, options)`, `test(name, options, body)` and `test(name, body)` are all known. */
function bodyOf(rest: readonly unknown[]): Body {
  const body = rest.find((part) => typeof part === "function");
  return (body as Body | undefined) ?? ((): void => undefined);
}

function isSkipped(rest: readonly unknown[]): boolean {
  return rest.some((part) => {
    const { skip, todo } = (part ?? {}) as { skip?: unknown; todo?: unknown };
    return typeof part === "object" && Boolean(skip ?? todo);
  });
}

function register(name: string, ...rest: readonly unknown[]): void {
  if (isSkipped(rest)) return;
  const title = [...suitesOf({ suite, name, body: bodyOf(rest) }).map((own) => own.name), name];
  tests.push({ name: title.filter((part) => part !== "").join(" › "), suite, body: bodyOf(rest) });
}

const ignore = (): void => undefined;

export const test = Object.assign(register, { skip: ignore, todo: ignore, only: register });
export const it = test;

export function describe(name: string, ...rest: readonly unknown[]): void {
  if (isSkipped(rest)) return;
  const outer = suite;
  suite = newSuite(outer, name);
  try {
    (bodyOf(rest) as Hook)();
  } finally {
    suite = outer;
  }
}

export { describe as suite };

export function before(run: Hook): void {
  suite.before.push({ run, ordinal: setups++ });
}

export function beforeEach(hook: Hook): void {
  suite.beforeEach.push(hook);
}

export function afterEach(hook: Hook): void {
  suite.afterEach.push(hook);
}

export function after(hook: Hook): void {
  last.push(hook);
}

export default test;
