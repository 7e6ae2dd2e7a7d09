import type { GatewayAddress, PodStatus, StatusReport } from "../../control/messages.ts";
import { formatDiagnostic } from "../../resources/diagnostic.ts";
import { accessWarning, changeLines } from "./change.ts";
import { renderRotation } from "./rotation.ts";
import { plain, style } from "./style.ts";
import { table } from "./table.ts";

/** The state of a mesh on a page. */
export function renderStatus(report: StatusReport, now: Date): string {
  const { configuration, policies, flowLog, ca, skipped } = report;
  const parts = [
    `${style("bold", `trust domain ${report.trustDomain}`)}, up for ${age(report.startedAt, now)}${renderControl(report, now)}; configuration ${configuration.version} of ${clock(configuration.loadedAt)} (${configuration.resources} resources) from ${report.sources.join(", ")}\n`,
    renderZtunnels(report.ztunnels),
    `${renderPods(report.pods, now)}DENIED counts connections and handshakes, too; REQUESTS are those of HTTP alone\n`,
    renderGateways(report.gateways),
    table(
      ["POLICY", "EFFECT"],
      policies.map(({ kind, namespace, name, effect }) => [`${kind} ${namespace}/${name}`, effect]),
    ),
    renderKeys(report.keys, now),
    `certificates: ${ca.issued} issued, ${ca.refused} requests refused. flow log: ${flowLog.rows} records${flowLog.ok ? "" : `, ${style("red", `NOT WRITABLE: ${plain(flowLog.message ?? "")}`)}; proxies keep their records`}\n`,
    renderRotation(ca.rotation),
    skipped.length === 0
      ? ""
      : `not run: ${skipped.map(({ kind, workload, why }) => plain(`${kind} ${workload} (${why})`)).join(", ")}\n`,
    renderLastChange(report),
    renderRefused(report),
  ];
  return parts.filter((part) => part !== "").join("\n");
}

/** Where gateways listen, for whom, and how they are spoken to. */
export function renderGateways(gateways: readonly GatewayAddress[]): string {
  return table(
    ["GATEWAY AT", "TLS", "HOSTS", "BY"],
    gateways.map(({ url, tlsMode, hosts, gateway, pod }) => [
      url,
      tlsMode ?? "none",
      hosts.join(", "),
      `${gateway} in ${pod}`,
    ]),
  );
}

/** Only where control has died: its age is the mesh's otherwise. */
function renderControl({ control }: StatusReport, now: Date): string {
  if (control.restarts === 0) return "";
  const times = control.restarts === 1 ? "once" : `${control.restarts} times`;
  return ` (control for ${age(control.startedAt, now)}, restarted ${times})`;
}

/** Whose tokens can be verified, and by which keys. */
function renderKeys(keys: StatusReport["keys"], now: Date): string {
  if (keys.length === 0) return "";
  return table(
    ["KEYS FROM", "FETCHED", "KEY IDS", "LAST ERROR"],
    keys.map(({ url, kind, fetchedAt, keyIds, error }) => [
      plain(kind === "discovery" ? `${url} (discovery)` : url),
      fetchedAt === null ? "NEVER: tokens are refused" : `${age(fetchedAt, now)} ago`,
      plain(keyIds.join(", ")),
      plain(error ?? ""),
    ]),
  );
}

/** Pods with their identities and certificates. */
export function renderPods(pods: readonly PodStatus[], now: Date): string {
  return table(
    ["POD", "ADDRESS", "IDENTITY", "CERTIFICATE", "AGE", "NEXT", "OPEN", "REQUESTS", "DENIED"],
    pods.map((pod) => {
      const { certificate, stats } = pod.report ?? {};
      return [
        pod.pod,
        pod.address,
        pod.proxied || pod.ztunnel !== undefined ? pod.identity : "(no sidecar)",
        ...(certificate === undefined || certificate === null
          ? [standing(pod), "", ""]
          : [
              certificate.serial.slice(0, 12),
              age(certificate.issuedAt, now),
              until(certificate.nextRotation, now),
            ]),
        String(stats?.openConnections ?? ""),
        String(stats?.requests ?? ""),
        `${stats?.denied ?? ""}${pod.refusedConfiguration === undefined ? "" : `  configuration NOT TAKEN: ${pod.refusedConfiguration}`}`,
      ];
    }),
  );
}

/** A ztunnel counts for all of its pods together. */
function renderZtunnels(ztunnels: StatusReport["ztunnels"]): string {
  if (ztunnels.length === 0) return "";
  return table(
    ["ZTUNNEL", "NODE", "AMBIENT PODS", "CERTIFICATES", "OPEN", "DENIED"],
    ztunnels.map(({ ztunnel, node, pods, connected, report, refusedConfiguration }) => [
      ztunnel,
      node,
      String(pods),
      connected ? String(Object.keys(report?.certificates ?? {}).length) : "ztunnel away",
      String(report?.stats?.openConnections ?? ""),
      `${report?.stats?.denied ?? ""}${refusedConfiguration === undefined ? "" : `  configuration NOT TAKEN: ${plain(refusedConfiguration)}`}`,
    ]),
  );
}

function standing(pod: PodStatus): string {
  if (pod.ztunnel !== undefined) return pod.connected ? "waiting" : "ztunnel away";
  if (!pod.proxied) return "none";
  return pod.connected ? "waiting" : "proxy away";
}

function renderLastChange({ configuration: { lastChange } }: StatusReport): string {
  if (lastChange === null) return "";
  const lines = changeLines(lastChange).map((line) => `${line}\n`);
  const warning = accessWarning(lastChange, process.stdout);
  const head = `last change: configuration ${lastChange.version} of ${clock(lastChange.at)}\n`;
  return `${head}${lines.join("")}${warning === undefined ? "" : `${warning}\n`}`;
}

function renderRefused({ configuration: { refused } }: StatusReport): string {
  if (refused === null) return "";
  const errors = refused.errors.map((error) => `  ${formatDiagnostic(error)}\n`).join("");
  return `${style("red", `the change of ${clock(refused.at)} is NOT in force, the configuration before it is:`)}\n${errors}`;
}

function clock(time: string): string {
  return time.slice(11, 19);
}

function age(time: string, now: Date): string {
  return duration(now.getTime() - Date.parse(time));
}

function until(time: string, now: Date): string {
  const ms = Date.parse(time) - now.getTime();
  return ms <= 0 ? "now" : `in ${duration(ms)}`;
}

const UNITS = [
  { suffix: "d", ms: 86_400_000 },
  { suffix: "h", ms: 3_600_000 },
  { suffix: "m", ms: 60_000 },
] as const;

/** `12h`, `3m`, `7s`: the largest unit that fits. */
export function duration(ms: number): string {
  const unit = UNITS.find((candidate) => ms >= candidate.ms);
  return unit === undefined
    ? `${Math.max(0, Math.round(ms / 1000))}s`
    : `${Math.floor(ms / unit.ms)}${unit.suffix}`;
}
