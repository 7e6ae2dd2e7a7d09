/** The file of advisories (docs/trust.md): what is known to be wrong with versions, by whom it was said, and as of which day. */
import { parseVersion } from "./version.ts";

export const ADVISORIES_FORMAT = "bulwark-advisories/1";

/** Parts that have versions. `istio` is istiod, the proxies, ztunnel and the CNI plugin together: they are released as one. */
export const COMPONENTS = [
  "istio",
  "envoy",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kube-proxy",
  "kubelet",
  "kubectl",
  "client-go",
] as const;

export type Component = (typeof COMPONENTS)[number];

/** From (inclusive) until `before` (exclusive) or `through` (inclusive); with neither no version is known to be free of it. */
export interface VersionRange {
  readonly from: string;
  readonly before?: string;
  readonly through?: string;
}

export interface Advisory {
  /** The publisher's own: `ISTIO-SECURITY-2026-001`, or the CVE. */
  readonly id: string;
  readonly cves: readonly string[];
  /** `2026-03-10`; absent where the source does not say. */
  readonly published?: string;
  readonly title: string;
  readonly components: readonly Component[];
  readonly affected: readonly VersionRange[];
  /** CVSS 3 base score, 0 to 10, where the publisher gives one. */
  readonly cvss?: number;
  readonly vector?: string;
  /** What has to be the case besides the version. Absent: the source names nothing. */
  readonly conditions?: string;
  /** Where the entry differs from its source, and why. */
  readonly note?: string;
  readonly source: string;
}

export interface AdvisorySource {
  readonly component: string;
  readonly name: string;
  readonly url: string;
  /** The last day that it was read for, `2026-08-05`. */
  readonly asOf: string;
  readonly advisories: number;
  /** What it covers and what not. */
  readonly complete: string;
}

export interface AdvisoryData {
  readonly format: typeof ADVISORIES_FORMAT;
  /** The day as of which all of it holds: that of the oldest source. */
  readonly date: string;
  readonly sources: readonly AdvisorySource[];
  readonly advisories: readonly Advisory[];
}

type Json = Readonly<Record<string, unknown>>;
type Check = (value: unknown) => boolean;

const DATA: Readonly<Record<string, Check>> = {
  format: (value) => value === ADVISORIES_FORMAT,
  date: isDay,
  sources: (value) => isList(value, 1, 50),
  advisories: (value) => isList(value, 1, 50_000),
};
const SOURCE: Readonly<Record<string, Check>> = {
  component: (value) => isText(value, 100),
  name: (value) => isText(value, 300),
  url: isHttps,
  asOf: isDay,
  advisories: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  complete: (value) => isText(value, 1000),
};
const ADVISORY: Readonly<Record<string, Check>> = {
  id: (value) => isText(value, 100) && /^[A-Za-z0-9-]+$/.test(value as string),
  cves: (value) => isList(value, 0, 100) && value.every((cve) => /^CVE-\d{4}-\d{4,7}$/.test(String(cve))),
  "published?": isDay,
  title: (value) => isText(value, 300),
  components: (value) => isList(value, 1, 20) && value.every((one) => COMPONENTS.includes(one as Component)),
  affected: (value) => isList(value, 1, 100) && value.every(isRange),
  "cvss?": (value) => typeof value === "number" && value >= 0 && value <= 10,
  "vector?": (value) => isText(value, 200),
  "conditions?": (value) => isText(value, 500),
  "note?": (value) => isText(value, 500),
  source: isHttps,
};

/**
 * Reads advisories strictly: one field that is wrong, missing or unknown refuses the whole file, since an advisory that is left out
 * makes a version look sound.
 * @returns the data, or what is wrong with it, the first ten problems
 */
export function parseAdvisories(
  value: unknown,
):
  | { readonly ok: true; readonly data: AdvisoryData }
  | { readonly ok: false; readonly problems: readonly string[] } {
  const problems = problemsOf(value);
  if (problems.length > 0) return { ok: false, problems: problems.slice(0, 10) };
  return { ok: true, data: value as AdvisoryData };
}

function problemsOf(value: unknown): readonly string[] {
  const whole = fieldProblems("the file", value, DATA);
  if (whole.length > 0) return whole;
  const { date, sources, advisories } = value as { date: string; sources: Json[]; advisories: Json[] };
  const problems = [
    ...sources.flatMap((source, at) => fieldProblems(`sources[${at}]`, source, SOURCE)),
    ...advisories.flatMap((advisory, at) => fieldProblems(`advisories[${at}]`, advisory, ADVISORY)),
  ];
  if (problems.length > 0) return problems;
  const seen = new Set<unknown>();
  for (const { id } of advisories) {
    if (seen.has(id)) problems.push(`advisory \`${id}\` stands there twice`);
    seen.add(id);
  }
  if (sources.some(({ asOf }) => String(asOf) < date))
    problems.push(`a source is older than \`date\`, ${date}: the whole is as old as its oldest source`);
  return problems;
}

function fieldProblems(where: string, value: unknown, fields: Readonly<Record<string, Check>>): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [`${where} is no object`];
  const problems: string[] = [];
  const known = new Set<string>();
  for (const [key, check] of Object.entries(fields)) {
    const name = key.replace("?", "");
    known.add(name);
    const given = Object.hasOwn(value, name) ? (value as Json)[name] : undefined;
    if (given === undefined && key.endsWith("?")) continue;
    if (!check(given))
      problems.push(`${where}: \`${name}\` is ${given === undefined ? "missing" : "not valid"}`);
  }
  for (const key of Object.keys(value)) {
    if (!known.has(key)) problems.push(`${where}: \`${key.slice(0, 50)}\` is no field of it`);
  }
  return problems;
}

function isRange(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const { from, before, through, ...others } = value as Json;
  if (Object.keys(others).length > 0 || (before !== undefined && through !== undefined)) return false;
  return (
    isExact(from) && (before === undefined || isExact(before)) && (through === undefined || isExact(through))
  );
}

function isExact(value: unknown): boolean {
  return typeof value === "string" && /^\d+\.\d+\.\d+$/.test(value) && parseVersion(value) !== undefined;
}

function isDay(value: unknown): boolean {
  if (typeof value !== "string" || !/^\d{4}-\d{2}-\d{2}$/.test(value)) return false;
  const ms = Date.parse(value);
  return !Number.isNaN(ms) && new Date(ms).toISOString().slice(0, 10) === value;
}

function isHttps(value: unknown): boolean {
  return isText(value, 500) && /^https:\/\/[^\s/]+/.test(value as string);
}

/** One line of text that is safe to print: a file of others is shown on a terminal. */
function isText(value: unknown, most: number): value is string {
  return typeof value === "string" && value !== "" && value.length <= most && !/\p{Cc}/u.test(value);
}

function isList(value: unknown, least: number, most: number): value is unknown[] {
  return Array.isArray(value) && value.length >= least && value.length <= most;
}
