import { Instrumenter } from "@stryker-mutator/instrumenter";

/** One change to one place of a source file. */
export interface Mutant {
  /** Unique in one run: what instrumented code asks for. */
  readonly id: number;
  /** Relative to the repository. */
  readonly file: string;
  readonly operator: string;
  /** From 1. */
  readonly line: number;
  readonly column: number;
  readonly original: string;
  readonly replacement: string;
}

export interface Instrumented {
  /** The code with all mutants of the file in it, by file. TypeScript still. */
  readonly code: ReadonlyMap<string, string>;
  readonly mutants: readonly Mutant[];
}

type Logger = ConstructorParameters<typeof Instrumenter>[0];

const nothing = (): void => undefined;
const never = (): boolean => false;
const SILENT: Logger = {
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: (message: string) => console.error(message),
  error: (message: string) => console.error(message),
  fatal: (message: string) => console.error(message),
  isTraceEnabled: never,
  isDebugEnabled: never,
  isInfoEnabled: never,
  isWarnEnabled: never,
  isErrorEnabled: never,
  isFatalEnabled: never,
};

/** Puts every mutant of Stryker's operators into the files, each behind a switch. */
export async function instrument(sources: ReadonlyMap<string, string>): Promise<Instrumented> {
  const files = [...sources].map(([name, content]) => ({ name, content, mutate: true }));
  const made = await new Instrumenter(SILENT).instrument(files, {
    plugins: null,
    excludedMutations: [],
    ignorers: [],
  });
  const code = new Map(made.files.map(({ name, content }) => [name, withOwnSwitches(name, content)]));
  const mutants = made.mutants.map(({ id, fileName, location, mutatorName, replacement }): Mutant => {
    const { start, end } = location;
    const original = textBetween(sources.get(fileName) ?? "", start, end);
    return {
      id: Number(id),
      file: fileName,
      operator: mutatorName,
      line: start.line + 1,
      column: start.column + 1,
      original,
      replacement,
    };
  });
  return { code, mutants };
}

interface Position {
  /** From 0, both. */
  readonly line: number;
  readonly column: number;
}

function textBetween(source: string, start: Position, end: Position): string {
  const lines = source.split("\n").slice(start.line, end.line + 1);
  const last = lines.length - 1;
  return lines
    .map((line, index) =>
      line.slice(index === 0 ? start.column : 0, index === last ? end.column : line.length),
    )
    .join("\n");
}

const STOCK_SWITCHES =
  /function stryNS_9fa48\(\) \{[\s\S]*?\nfunction stryMutAct_9fa48\(id\) \{[\s\S]*?\n\}\n/;

/**
 * Stryker's own switches compare strings and count in objects, also while mutants run; tests would take several times as long.
 * Ours know numbers, and count only while recording.
 */
const OWN_SWITCHES = `const stryBoard = globalThis.__mutation__;
function stryMutAct_9fa48(id) { return id === stryBoard.active && stryBoard.hit(); }
const stryCov_9fa48 = stryBoard.recording ? (...ids) => stryBoard.reached(...ids) : () => {};
`;

function withOwnSwitches(file: string, code: string): string {
  if (!code.includes("stryMutAct_9fa48")) return code;
  if (!STOCK_SWITCHES.test(code)) throw new Error(`${file}: the instrumenter's header is not the known one`);
  const rest = code.replace(STOCK_SWITCHES, "\n");
  const numbered = rest.replace(/\b(stryMutAct_9fa48|stryCov_9fa48)\(([^()]*)\)/g, (_, name, ids: string) => {
    return `${name}(${ids.replaceAll('"', "")})`;
  });
  return OWN_SWITCHES + numbered;
}
