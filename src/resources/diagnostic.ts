/**
 * A place in an input file. Lines and columns are counted from 1, as editors do; the end is exclusive.
 * Spans never take part in equality of resources.
 */
export interface Span {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly endLine: number;
  readonly endColumn: number;
}

export type Severity = "error" | "warning" | "info";

/** One problem for a person: what, where, why, and how to mend it. Codes are append-only (docs/diagnostics.md). */
export interface Diagnostic {
  readonly code: string;
  readonly severity: Severity;
  /** One line, user input in backticks. */
  readonly message: string;
  /** `Kind namespace/name`, where a resource is at fault. */
  readonly resource?: string;
  readonly span?: Span;
  /** How to mend it. */
  readonly help?: string;
}

/** The outcome of reading anything that a user wrote: a value, or every problem found, never a part of either. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T; readonly warnings: readonly Diagnostic[] }
  | { readonly ok: false; readonly errors: readonly [Diagnostic, ...Diagnostic[]] };

/** `file:line:column: severity CODE: message` and, on a second line, the help. */
export function formatDiagnostic(diagnostic: Diagnostic): string {
  const { span, severity, code, message, help, resource } = diagnostic;
  const place = span === undefined ? "" : `${span.file}:${span.line}:${span.column}: `;
  const subject = resource === undefined ? "" : `${resource}: `;
  const mend = help === undefined ? "" : `\n    ${help}`;
  return `${place}${severity} ${code}: ${subject}${message}${mend}`;
}
