/** Lines of which it could not be computed what gets through: they are shown as if all did, with the reason. */
import type { AccessEntry } from "./access-map.ts";

const BEGINNING = "not analysed: ";

export function notAnalysed(why: string): string {
  return BEGINNING + why;
}

export function isNotAnalysed({ access, why = "" }: Pick<AccessEntry, "access" | "why">): boolean {
  return access === null && why.startsWith(BEGINNING);
}
