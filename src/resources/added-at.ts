/** Resources that Bulwark adds to those of the files (a stock gateway that a Gateway selects) are younger than any of theirs can be. */
import type { Resource } from "./resource.ts";

/** Beyond the year 9999 that RFC 3339 ends with (in milliseconds since the epoch), and beyond what resources without a time are given. */
export const ADDED_AT_MS = 8.1e15;

/** Whether no file has it: what it looks like is then a supposition, which nobody can be blamed for. */
export function isAdded({ createdAt }: Pick<Resource, "createdAt">): boolean {
  return createdAt >= ADDED_AT_MS;
}
