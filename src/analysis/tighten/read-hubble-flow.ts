/**
 * Flows of Cilium's Hubble in JSON (`hubble observe -o jsonpb`): the network plugin's word on which pod spoke to which.
 * A flow that was forwarded got as far as the pod: whether the server's proxy let it through is not said.
 * @see https://docs.cilium.io/en/stable/_api/v1/flow/README/
 */
import type { Workload } from "../../model/mesh.ts";
import {
  type Caller,
  type LeftOut,
  leftOut,
  malformed,
  type ObservedHttp,
  type Reading,
} from "./flow-reading.ts";
import { isPort } from "./read-bulwark-flow.ts";
import type { WorkloadNames } from "./workload-names.ts";

type Json = Readonly<Record<string, unknown>>;

/** @param value parsed from JSON: a flow, or a line of `hubble observe`, which wraps it. */
export function readHubbleFlow(value: unknown, names: WorkloadNames): Reading {
  const outer = objectOf(value);
  if (outer === undefined) return malformed("it is no JSON object");
  const lost = objectOf(outer.lost_events);
  if (lost !== undefined) return lostEvents(lost);
  if (outer.node_status !== undefined) return leftOut("not-traffic");
  const flow = objectOf(outer.flow) ?? (outer.verdict === undefined ? undefined : outer);
  if (flow === undefined) return malformed("it has no `flow`");
  const timeMs = typeof flow.time === "string" ? Date.parse(flow.time) : Number.NaN;
  if (Number.isNaN(timeMs)) return malformed("`time` is no time");
  if (typeof flow.verdict !== "string") return malformed("`verdict` is no text");
  const why = noEvidence(flow);
  return why === undefined ? observed(flow, names, timeMs) : leftOut(why);
}

function lostEvents({ num_events_lost: count }: Json): Reading {
  const lost = Number(count);
  return Number.isSafeInteger(lost) && lost >= 0
    ? { kind: "lost", count: lost }
    : malformed("`num_events_lost` is no number");
}

function noEvidence(flow: Json): LeftOut | undefined {
  if (flow.verdict === "DROPPED") return "denied";
  if (flow.verdict === "ERROR") return "failed";
  if (flow.verdict !== "FORWARDED" && flow.verdict !== "REDIRECTED") return "not-traffic";
  const l7 = objectOf(flow.l7);
  if (l7?.type === "RESPONSE" || flow.is_reply === true || flow.reply === true) return "not-traffic";
  return isOpening(flow, l7) ? undefined : "untold";
}

/** Which side opened a connection is told by `is_reply`, or by its first packet alone. */
function isOpening(flow: Json, l7: Json | undefined): boolean {
  if (l7?.type === "REQUEST" || flow.is_reply === false) return true;
  const flags = objectOf(objectOf(objectOf(flow.l4)?.TCP)?.flags);
  return flags?.SYN === true && flags.ACK !== true;
}

function observed(flow: Json, names: WorkloadNames, timeMs: number): Reading {
  const tcp = objectOf(objectOf(flow.l4)?.TCP);
  const port = Number(tcp?.destination_port);
  // AuthorizationPolicies are about TCP alone.
  if (tcp === undefined) return leftOut("not-traffic");
  if (!isPort(port)) return malformed("`l4.TCP.destination_port` is no port");
  const [from, to] = [podOf(flow.source, names), podOf(flow.destination, names)];
  if (flow.traffic_direction === "EGRESS") return clientFlow(flow, from, port, timeMs);
  if (flow.traffic_direction !== "INGRESS") return leftOut("untold");
  if (to === undefined) return leftOut("unknown-workload", nameOf(flow.destination));
  const http = httpOf(objectOf(flow.l7));
  if (http === undefined) return malformed("`l7.http` is no request");
  const ip = objectOf(flow.IP)?.source;
  return {
    kind: "server",
    workload: to.key,
    port,
    caller: callerOf(from, typeof ip === "string" ? ip : undefined),
    http,
    isOpaque: false,
    timeMs,
  };
}

function callerOf(from: Workload | undefined, ip: string | undefined): Caller {
  const address = ip === undefined ? {} : { ip };
  return from === undefined
    ? { principal: null, by: "none", ...address }
    : { principal: from.spiffeId.slice("spiffe://".length), by: "pod", ...address };
}

/** Null: not looked into. Undefined: not what it should be. */
function httpOf(l7: Json | undefined): ObservedHttp | null | undefined {
  const http = objectOf(l7?.http);
  if (http === undefined) return null;
  const { method, url } = http;
  if (typeof method !== "string" || typeof url !== "string") return undefined;
  const path = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(.*)$/i.exec(url)?.[1] ?? url;
  return { method, path: path.startsWith("/") ? path : `/${path}` };
}

function clientFlow(flow: Json, from: Workload | undefined, port: number, timeMs: number): Reading {
  if (from === undefined) return leftOut("unknown-workload", nameOf(flow.source));
  const [host] = Array.isArray(flow.destination_names) ? (flow.destination_names as readonly unknown[]) : [];
  if (typeof host !== "string" || host === "") return leftOut("untold", from.key);
  return { kind: "client", workload: from.key, host: host.toLowerCase(), port, protocol: "tcp", timeMs };
}

/** By the workload that Cilium names, else by the pod's name. */
function podOf(end: unknown, names: WorkloadNames): Workload | undefined {
  const pod = objectOf(end);
  const namespace = pod?.namespace;
  if (pod === undefined || typeof namespace !== "string" || namespace === "") return undefined;
  const [first, ...more] = Array.isArray(pod.workloads) ? (pod.workloads as readonly unknown[]) : [];
  const name = more.length === 0 ? objectOf(first)?.name : undefined;
  const known = typeof name === "string" ? names.byKey(`${namespace}/${name}`) : undefined;
  return known ?? (typeof pod.pod_name === "string" ? names.byPod(namespace, pod.pod_name) : undefined);
}

/** `namespace/name` of a pod that the files do not have. */
function nameOf(end: unknown): string | undefined {
  const { namespace, pod_name: name } = objectOf(end) ?? {};
  return typeof namespace === "string" && namespace !== "" ? `${namespace}/${String(name ?? "")}` : undefined;
}

function objectOf(value: unknown): Json | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}
