/**
 * Identities in policies, as sidecars match them: patterns over the whole text of the certificate's name, not over its parts.
 * Written as plain scans: they decide what Istio's regular expressions decide, in linear time and without allocation.
 */
import { compileTextPatterns, type TextPatterns } from "./text-pattern.ts";

const SCHEME = "spiffe://";

/** Matches a certificate's name (`spiffe://…`, or a DNS name). */
export type SubjectTest = (subject: string) => boolean;

/** `principals`, `source.principal`. */
export function compilePrincipals(values: readonly string[]): SubjectTest {
  const patterns = compileTextPatterns(values);
  const exact = new Set([...patterns.exact].map((value) => SCHEME + value));
  const prefixes = patterns.prefixes.map((value) => SCHEME + value);
  return (subject) => {
    if (exact.has(subject) || (patterns.any && subject !== "")) return true;
    for (const prefix of prefixes) if (subject.startsWith(prefix)) return true;
    return endsWithAfterScheme(patterns, subject);
  };
}

function endsWithAfterScheme(patterns: TextPatterns, subject: string): boolean {
  for (const suffix of patterns.suffixes) {
    const fits = subject.length >= SCHEME.length + suffix.length;
    if (fits && subject.startsWith(SCHEME) && subject.endsWith(suffix)) return true;
  }
  return false;
}

/** `namespaces`, `source.namespace`: the pattern `…/ns/<value>/…` anywhere, with `*` standing for anything, so also for slashes. */
export function compileNamespaces(values: readonly string[]): SubjectTest {
  const needles = values.map((value) => `/ns/${value}/`.split("*"));
  return (subject) => {
    for (const pieces of needles) if (containsInOrder(subject, pieces)) return true;
    return false;
  };
}

function containsInOrder(text: string, pieces: readonly string[]): boolean {
  let from = 0;
  for (const piece of pieces) {
    const at = text.indexOf(piece, from);
    if (at < 0) return false;
    from = at + piece.length;
  }
  return true;
}

/**
 * `serviceAccounts`, `source.serviceAccount`: `spiffe://.+/ns/<ns>/(.+/|)sa/<account>(/.+)?`.
 * @param policyNamespace stands for the namespace where a value has none.
 */
export function compileServiceAccounts(values: readonly string[], policyNamespace: string): SubjectTest {
  const accounts = values.map((value) => {
    const { namespace, name } = splitAccount(value, policyNamespace);
    return { namespacePart: `/ns/${namespace}/`, accountPart: `sa/${name}` };
  });
  return (subject) => {
    for (const account of accounts) {
      if (isAccount(subject, account.namespacePart, account.accountPart)) return true;
    }
    return false;
  };
}

/** `ns/name` taken apart at the first slash; a name alone is in the policy's namespace. */
export function splitAccount(
  value: string,
  policyNamespace: string,
): { readonly namespace: string; readonly name: string } {
  const slash = value.indexOf("/");
  if (slash < 0) return { namespace: policyNamespace, name: value };
  return { namespace: value.slice(0, slash), name: value.slice(slash + 1) };
}

function isAccount(subject: string, namespacePart: string, accountPart: string): boolean {
  if (!subject.startsWith(SCHEME)) return false;
  const at = subject.indexOf(namespacePart, SCHEME.length + 1);
  if (at < 0) return false;
  // The leftmost namespace leaves the longest rest, and whatever follows a later one also follows this one.
  const rest = at + namespacePart.length;
  for (let from = subject.indexOf(accountPart, rest); from >= 0; ) {
    const starts = from === rest || (from > rest + 1 && subject.charAt(from - 1) === "/");
    const end = from + accountPart.length;
    const ends = end === subject.length || (subject.charAt(end) === "/" && end + 1 < subject.length);
    if (starts && ends) return true;
    from = subject.indexOf(accountPart, from + 1);
  }
  return false;
}

/** `trustDomains`, `source.trustDomain`: exact, `*` for any, or one star that stands for anything but a slash. */
export function compileTrustDomains(values: readonly string[]): SubjectTest {
  const tests = values.map(compileTrustDomain);
  return (subject) => {
    for (const test of tests) if (test(subject)) return true;
    return false;
  };
}

function compileTrustDomain(value: string): SubjectTest {
  if (value === "*") return (subject) => subject.startsWith(SCHEME);
  const star = value.indexOf("*");
  const whole = `${SCHEME}${value}/`;
  if (star < 0) return (subject) => subject.startsWith(whole);
  const head = SCHEME + value.slice(0, star);
  const tail = value.slice(star + 1);
  return (subject) => {
    const slash = subject.indexOf("/", SCHEME.length);
    if (slash < head.length + tail.length || !subject.startsWith(head)) return false;
    return subject.startsWith(tail, slash - tail.length);
  };
}
