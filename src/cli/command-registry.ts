import type { Command } from "commander";

/** One command: listed always, loaded only when it is the one that runs. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Adds arguments, options, examples and the action. */
  readonly load: () => Promise<{ readonly configure: (command: Command) => void }>;
}

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "up",
    summary: "bring up the mesh that YAML files describe, and keep it up",
    load: () => import("./commands/up.ts"),
  },
  {
    name: "down",
    summary: "stop a mesh, also one whose `up` was killed",
    load: () => import("./commands/down.ts"),
  },
  {
    name: "status",
    summary: "workloads, identities, certificates, policies and connections",
    load: () => import("./commands/status.ts"),
  },
  {
    name: "call",
    summary: "make a request as a workload, and see who answers or refuses",
    load: () => import("./commands/call.ts"),
  },
  {
    name: "shell",
    summary: "a real shell in a pod that is a network namespace",
    load: () => import("./commands/shell.ts"),
  },
  {
    name: "can",
    summary: "may this request go through? The decision and its reason, without a running mesh",
    load: () => import("./commands/can.ts"),
  },
  {
    name: "map",
    summary: "who can reach whom, at which ports and by what requests",
    load: () => import("./commands/map.ts"),
  },
  {
    name: "diff",
    summary: "the access that a change gives or takes, with requests that show it",
    load: () => import("./commands/diff.ts"),
  },
  {
    name: "verify",
    summary: "prove what must never, must always, or alone may be let through",
    load: () => import("./commands/verify.ts"),
  },
  {
    name: "audit",
    summary: "everything that is wrong with a mesh, why it matters, and how to mend it",
    load: () => import("./commands/audit.ts"),
  },
  {
    name: "explain",
    summary: "what a rule of the audit looks for, why, and how to mend what it finds",
    load: () => import("./commands/explain.ts"),
  },
  {
    name: "blast",
    summary: "what each compromise would cost: what it yields, whom it reaches, and how",
    load: () => import("./commands/blast.ts"),
  },
  {
    name: "tighten",
    summary: "the least AuthorizationPolicies for logged traffic, proven no wider",
    load: () => import("./commands/tighten.ts"),
  },
  {
    name: "firewall",
    summary: "rules for a router or a cluster that make the egress gateways the only way out",
    load: () => import("./commands/firewall.ts"),
  },
  {
    name: "authorizer",
    summary: "an external authorizer for CUSTOM policies that decides by live context",
    load: () => import("./commands/authorizer.ts"),
  },
  {
    name: "attack",
    summary: "run known attacks on a mesh, live, with proof of what happened",
    load: () => import("./commands/attack.ts"),
  },
  {
    name: "drill",
    summary: "rehearse an incident on the running mesh, and measure how long each step takes",
    load: () => import("./commands/drill.ts"),
  },
  {
    name: "flows",
    summary: "the flow log: every connection, request, handshake and decision",
    load: () => import("./commands/flows.ts"),
  },
  {
    name: "ca",
    summary: "the CA: certificates, revocation, CRLs, replacing its keys, enrolment",
    load: () => import("./commands/ca.ts"),
  },
  {
    name: "env",
    summary: "the environment of a workload, so that a shell can act as it",
    load: () => import("./commands/env.ts"),
  },
];
