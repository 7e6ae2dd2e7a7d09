/** A law that an input broke. */
export class BrokenLaw extends Error {
  /** The same for every input that breaks it: findings are told apart by it. */
  readonly law: string;

  constructor(law: string, detail = "") {
    super(detail === "" ? law : `${law}: ${detail}`);
    this.law = law;
  }
}

/** @throws {BrokenLaw} unless it holds. */
export function law(holds: boolean, name: string, detail: () => string = () => ""): asserts holds {
  if (!holds) throw new BrokenLaw(name, detail());
}

/** What is fuzzed: how inputs look, and what must hold of each. */
export interface FuzzTarget {
  readonly name: string;
  /** One line: what is put in, and what is checked. */
  readonly about: string;
  open(): Promise<OpenTarget>;
}

export interface OpenTarget {
  /** What mutation starts from. At least one. */
  readonly seeds: readonly Buffer[];
  /** Words of the format, put in at random. */
  readonly words: readonly Buffer[];
  readonly maxInputBytes: number;
  /**
   * Checks all laws on one input. Whatever it throws is a finding.
   * @returns what kind of outcome it was, such as a refusal's code: inputs with a new one are kept and mutated on.
   */
  check(input: Buffer): string | Promise<string>;
  close?(): void | Promise<void>;
}
