/** When paths that differ are taken for one. */
export interface PathThresholds {
  /** So many different values that look like identifiers (digits in them, no version) in one place make it a `{*}`. */
  readonly identifiers: number;
  /** So many different words in one place, whose continuations are alike, do the same. */
  readonly words: number;
  /** More patterns than this for one caller, method and port are shortened to prefixes where `words` of them share one. */
  readonly patterns: number;
}

export const DEFAULT_THRESHOLDS: PathThresholds = { identifiers: 5, words: 30, patterns: 20 };

/** A value that machines give out: it holds a digit, and is no version of an interface, which people name. */
export function isIdentifier(segment: string): boolean {
  return /\d/.test(segment) && !/^v\d+([a-z]*\d*)*(\.\d+)*$/i.test(segment);
}

/** Characters that a `{*}` stands for; the empty segment is none. */
const SEGMENT = /^[a-zA-Z0-9\-._~%!$&'()+,;:@=]+$/;

export function fitsTemplate(segment: string): boolean {
  return SEGMENT.test(segment);
}
