/** Which advisories speak of a version. Doubt counts as affected. */
import type { Advisory, AdvisoryData, Component, VersionRange } from "./advisory.ts";
import { compareVersions, parseVersion, releaseOf, type Version } from "./version.ts";

/** Beyond this age data of advisories is reported as stale: Istio has a new minor each quarter, and advisories with most of them. */
export const ADVISORIES_STALE_DAYS = 90;

export type AffectedBy =
  | {
      readonly known: true;
      /** Those that an update cures, the gravest first. */
      readonly curable: readonly Advisory[];
      /** Those that no version is free of: they ask for other settings. */
      readonly standing: readonly Advisory[];
    }
  /** The version cannot be told: nothing is said about it, in neither sense. */
  | { readonly known: false; readonly reason: string };

/**
 * A floating tag (`1.27`) is affected by what no patch of its line is free of, and by nothing else that could be said for sure.
 * @param version as a tag or a node has it
 */
export function advisoriesFor(data: AdvisoryData, component: Component, version: string): AffectedBy {
  const parsed = parseVersion(version);
  if (parsed === undefined) return { known: false, reason: `\`${version}\` names no version` };
  const affecting = advisoriesOf(data, component).filter(({ affected }) => isIn(affected, parsed));
  const curable = affecting.filter((advisory) => !isStanding(advisory, parsed)).sort(byWeight);
  if (parsed.patch === undefined && curable.length === 0)
    return { known: false, reason: `\`${version}\` floats: which patch runs is not in the files` };
  return { known: true, curable, standing: affecting.filter((advisory) => isStanding(advisory, parsed)) };
}

/**
 * The lowest version from this one on that no curable advisory speaks of, within its own line (1.27) if that has one.
 * @returns `1.27.9`; nothing where no range of the data ends above it
 */
export function leastSoundVersion(
  data: AdvisoryData,
  component: Component,
  version: string,
): string | undefined {
  const from = parseVersion(version);
  if (from === undefined) return undefined;
  const known = advisoriesOf(data, component);
  const ends = known
    .flatMap(({ affected }) => affected.map(endOf))
    .filter((end) => end !== undefined)
    .filter((end) => compareVersions(end, from) >= 0)
    .sort(compareVersions);
  const isOwn = ({ major, minor }: Version) => major === from.major && minor === from.minor;
  const candidates = [...ends.filter(isOwn), ...ends.filter((end) => !isOwn(end))];
  const found = candidates.find((end) => known.every((a) => isStanding(a, end) || !isIn(a.affected, end)));
  return found === undefined ? undefined : releaseOf(found);
}

/** Whole days from the data's own day to now; never negative. @param now milliseconds since the epoch */
export function advisoryAgeDays({ date }: AdvisoryData, now: number): number {
  return Math.max(0, Math.floor((now - Date.parse(date)) / 86_400_000));
}

function advisoriesOf({ advisories }: AdvisoryData, component: Component): readonly Advisory[] {
  return advisories.filter(({ components }) => components.includes(component));
}

/** Whether the range that has this version has no end. */
function isStanding({ affected }: Advisory, version: Version): boolean {
  return affected.some((range) => endOf(range) === undefined && isIn([range], version));
}

function isIn(ranges: readonly VersionRange[], version: Version): boolean {
  return version.patch === undefined
    ? ranges.some((range) => holdsLine(range, version))
    : ranges.some((range) => holds(range, version));
}

/** A pre-release counts as affected from its release on, since what it was cut from is not known. */
function holds(range: VersionRange, version: Version): boolean {
  const from = parseVersion(range.from);
  if (from === undefined || compareVersions(version, from) < 0) return false;
  const end = endOf(range);
  if (end === undefined) return true;
  const order = compareVersions(version, end);
  return order < 0 || (order === 0 && version.isPreRelease && range.before !== undefined);
}

/** Whether every patch of the line lies in the range. */
function holdsLine(range: VersionRange, line: Version): boolean {
  const from = parseVersion(range.from);
  const end = endOf(range);
  if (from === undefined || compareVersions(line, from) < 0) return false;
  return end === undefined || compareVersions(end, { ...line, minor: line.minor + 1, patch: 0 }) >= 0;
}

/** The first version after the range. */
function endOf({ before, through }: VersionRange): Version | undefined {
  if (before !== undefined) return parseVersion(before);
  const last = through === undefined ? undefined : parseVersion(through);
  if (last === undefined) return undefined;
  const patch = (last.patch ?? 0) + 1;
  return { ...last, patch, text: `${last.major}.${last.minor}.${patch}` };
}

function byWeight(a: Advisory, b: Advisory): number {
  // Without a score it may be anything: it comes with the grave ones.
  return (b.cvss ?? 10) - (a.cvss ?? 10) || (a.id < b.id ? 1 : -1);
}
