/** What the evidence cannot show, in words: nobody should take "not seen" for "not needed" without having read it. */
import type { Mesh } from "../../model/mesh.ts";
import type { Evidence } from "./evidence.ts";

export interface LogFacts {
  /** Records that were none, by all sources. */
  readonly malformed: number;
  /** Records that ids show to be missing, at least. */
  readonly missing: { readonly records: number; readonly processes: number };
}

const USUAL_DAYS = 7;
const WEEKDAYS = [
  "Sundays",
  "Mondays",
  "Tuesdays",
  "Wednesdays",
  "Thursdays",
  "Fridays",
  "Saturdays",
] as const;
const SHOWN_HOLES = 3;

export function holesOf(mesh: Mesh, evidence: Evidence, { malformed, missing }: LogFacts): readonly string[] {
  return [
    ...spanHoles(evidence),
    ...plural(
      malformed,
      "record is malformed and counts for nothing",
      "records are malformed and count for nothing",
    ),
    ...plural(
      evidence.lost,
      "record was lost, as the log itself says",
      "records were lost, as the log itself says",
    ),
    ...(missing.records === 0
      ? []
      : [
          `${missing.records} records or more are missing between those that are there, of ${missing.processes} proxies: the log is a part, or a sample`,
        ]),
    ...sampling(mesh),
    ...inactive(mesh, evidence),
    ...weakIdentities(evidence),
    ...alwaysFailed(evidence),
    ...plural(
      evidence.leftOut.get("denied") ?? 0,
      "record is of a refusal: what was refused is not granted",
      "records are of refusals: what was refused is not granted",
    ),
    ...plural(
      evidence.leftOut.get("failed") ?? 0,
      "record is of a failure that nobody refused: it is no evidence",
      "records are of failures that nobody refused: they are no evidence",
    ),
    ...unknownWorkloads(evidence),
    ...plural(
      evidence.leftOut.get("untold") ?? 0,
      "record does not tell enough to be evidence",
      "records do not tell enough to be evidence",
    ),
  ];
}

/** Nobody asks of the proposal whether what reached these is still let through. */
function unknownWorkloads({ leftOut, unknown }: Evidence): readonly string[] {
  const named = [...unknown].filter((name) => name !== "").sort();
  const more = named.length > SHOWN_HOLES ? `, and ${named.length - SHOWN_HOLES} more` : "";
  const who = named.length === 0 ? "" : `: ${named.slice(0, SHOWN_HOLES).join(", ")}${more}`;
  return plural(
    leftOut.get("unknown-workload") ?? 0,
    `record is of a workload that the mesh's files do not have${who}; it is not asked again`,
    `records are of workloads that the mesh's files do not have${who}; they are not asked again`,
  );
}

function plural(count: number, one: string, many: string): readonly string[] {
  if (count === 0) return [];
  return [`${count} ${count === 1 ? one : many}`];
}

function spanHoles({ span }: Evidence): readonly string[] {
  if (span.firstMs === undefined) return ["there is no evidence at all"];
  const days = span.days;
  const weekdays = span.weekdaysNeverSeen();
  const hours = span.hoursNeverSeen();
  const holes = span.holes();
  return [
    ...(days < USUAL_DAYS
      ? [
          `${days < 1 ? "less than a day" : `only ${days.toFixed(1)} days`} of evidence: what happens once a week or a month is not in it`,
        ]
      : []),
    ...(days < USUAL_DAYS || weekdays.length === 0
      ? []
      : [`never seen on ${weekdays.map((day) => WEEKDAYS[day]).join(", ")} (UTC)`]),
    ...(hours.length === 0 ? [] : [`never seen in these hours of the day (UTC): ${ranges(hours)}`]),
    ...(holes.length === 0
      ? []
      : [
          `${holes.length} gaps of an hour or more without any record: ${holes.slice(0, SHOWN_HOLES).map(gapText).join("; ")}${holes.length > SHOWN_HOLES ? "; …" : ""}`,
        ]),
  ];
}

function gapText({ fromMs, toMs }: { readonly fromMs: number; readonly toMs: number }): string {
  const time = (ms: number): string => new Date(ms).toISOString().slice(0, 16);
  return `${time(fromMs)} to ${time(toMs)}`;
}

/** `0-5, 23` */
function ranges(hours: readonly number[]): string {
  const parts: (readonly [number, number])[] = [];
  for (const hour of hours) {
    const last = parts.at(-1);
    if (last !== undefined && last[1] === hour - 1) parts[parts.length - 1] = [last[0], hour];
    else parts.push([hour, hour]);
  }
  return parts.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(", ");
}

const SHOWN_NAMES = 10;

function named(names: readonly string[]): string {
  return `${names.slice(0, SHOWN_NAMES).join(", ")}${names.length > SHOWN_NAMES ? ` and ${names.length - SHOWN_NAMES} more` : ""}`;
}

function inactive({ workloads }: Mesh, { active }: Evidence): readonly string[] {
  const never = workloads.filter(({ key }) => !active.has(key)).map(({ key }) => key);
  return never.length === 0 ? [] : [`never active, neither as client nor as server: ${named(never)}`];
}

/** Istio's Telemetry can have access logs written for some requests alone. */
function sampling({ resources }: Mesh): readonly string[] {
  const filtered = resources.filter(({ kind, apiVersion, spec }) => {
    if (kind !== "Telemetry" || !apiVersion.startsWith("telemetry.istio.io/")) return false;
    const logging = (spec as { readonly accessLogging?: unknown } | undefined)?.accessLogging;
    const entries: readonly unknown[] = Array.isArray(logging) ? logging : [];
    return entries.some((entry) => {
      const { filter, disabled } = (entry ?? {}) as {
        readonly filter?: unknown;
        readonly disabled?: unknown;
      };
      return filter !== undefined || disabled === true;
    });
  });
  return filtered.map(
    ({ namespace, name }) =>
      `Telemetry ${namespace}/${name} keeps requests out of access logs: they are no evidence, and would be refused`,
  );
}

function weakIdentities({ servers }: Evidence): readonly string[] {
  const uses = [...servers.values()].flatMap((ports) => [...ports.values()]).flatMap(({ uses: own }) => own);
  const by = (kind: string): number => uses.filter((use) => use.by === kind).length;
  return [
    ...plural(
      by("address"),
      "way of asking is known by the caller's address alone, not by a certificate",
      "ways of asking are known by the callers' addresses alone, not by certificates",
    ),
    ...plural(
      by("pod"),
      "way of asking is known by the network plugin's word on the pod, which does not say that the server's proxy let it through",
      "ways of asking are known by the network plugin's word on the pod, which does not say that the server's proxy let them through",
    ),
  ];
}

function alwaysFailed({ servers }: Evidence): readonly string[] {
  const uses = [...servers.values()].flatMap((ports) => [...ports.values()]).flatMap(({ uses: own }) => own);
  const failed = uses.filter((use) => use.requests === use.failed).length;
  return plural(
    failed,
    "way of asking was only ever answered with a status of 400 or more, as scanners are (--leave-out-status)",
    "ways of asking were only ever answered with a status of 400 or more, as scanners are (--leave-out-status)",
  );
}
