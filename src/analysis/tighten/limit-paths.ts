/** Keeps patterns of paths within those that today's rule names. */
import { isPathTemplate, parsePathTemplate } from "../../policy/path-template.ts";
import type { PathPattern } from "./path-patterns.ts";

/** Patterns within those of today's rule; where one is not, today's own take its place. */
export function limitedTo(
  paths: readonly PathPattern[] | null,
  today: readonly string[] | undefined,
): readonly PathPattern[] | null {
  if (paths === null || today === undefined || today.length === 0) return paths;
  const inside = paths.filter(
    ({ pattern, seen }) => seen === undefined || today.some((own) => isWithin(pattern, own)),
  );
  const outside = paths.filter((path) => !inside.includes(path));
  if (outside.length === 0) return paths;
  const requests = outside.reduce((sum, path) => sum + path.requests, 0);
  const values = outside.reduce((sum, { seen }) => sum + (seen?.values ?? 1), 0);
  const samples = outside.flatMap(({ seen }) => seen?.samples ?? []).slice(0, 3);
  const own = today.map((pattern): PathPattern => ({ pattern, requests, seen: { values, samples } }));
  const kept = inside.filter(({ pattern }) => !today.includes(pattern));
  return [...kept, ...own].toSorted((a, b) => (a.pattern < b.pattern ? -1 : 1));
}

/** Whether all that the pattern takes the other takes too; in doubt not. */
function isWithin(pattern: string, other: string): boolean {
  if (pattern === other || other === "*") return true;
  if (isPathTemplate(other)) return isPathTemplate(pattern) && isTemplateWithin(pattern, other);
  if (other.endsWith("*") && !other.startsWith("*"))
    return literalStart(pattern).startsWith(other.slice(0, -1));
  return false;
}

function isTemplateWithin(pattern: string, other: string): boolean {
  if (parsePathTemplate(other) === undefined || other.includes("{**}") || pattern.includes("{**}"))
    return false;
  const [own, wide] = [pattern.split("/"), other.split("/")];
  return own.length === wide.length && own.every((segment, at) => wide[at] === "{*}" || wide[at] === segment);
}

function literalStart(pattern: string): string {
  const at = pattern.search(/\{\*|\*$/);
  return at < 0 ? pattern : pattern.slice(0, at);
}
