import type { AuditContext } from "../audit-context.ts";
import { FLAG_CHECKS } from "../facts/component-checks.ts";
import { type Component, components } from "../facts/component-flags.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const componentFlags: AuditRule = {
  id: "BW0530",
  title: "A component of Kubernetes that runs with less than its defences",
  severity: "medium",
  attacks: ["C6", "E2"],
  what: "Where pods of the API server, the controller manager, the scheduler, etcd or the kubelet are among the files (static pods): flags that the CIS Kubernetes Benchmark 1.12 asks for in sections 1 to 4 and that are missing or otherwise, each by the benchmark's number; and without one: ports and passwords without TLS, TLS before 1.2, manifests that a kubelet fetches in clear. etcd that takes certificates of the CA that the API server takes clients' by (2.7), where both are among the files. Weights are ours: what lets in whoever comes is `critical`, what is hygiene `low`. Left out are rate limits, pulling always, sizes and numbers of logs, and timeouts. Permissions of files, and what a configuration file behind a flag says, are not seen; `--authorization-config` and `--authentication-config` are in place of their flags, and etcd or a scheduler with a configuration file is not judged.",
  why: "Below the mesh stands Kubernetes: whoever is the API server, or reads etcd, has every Secret, every identity and every policy.",
  fix: "Set the flag as the benchmark asks, in the component's manifest.",
  claims: ["components-hardened"],
  check: unhardened,
};

/** Everything may stand in a file instead. */
const CONFIGURED: ReadonlyMap<string, string> = new Map([
  ["etcd", "config-file"],
  ["kube-scheduler", "config"],
]);
/** Files that say what a flag says, and more. */
const INSTEAD: ReadonlyMap<string, string> = new Map([
  ["authorization-mode", "authorization-config"],
  ["anonymous-auth", "authentication-config"],
]);

function* unhardened(audit: AuditContext): Iterable<Hit> {
  const all = audit.fact(components);
  yield* sharingCa(all);
  for (const { name, resource, path, flags } of all) {
    if (flags.has(CONFIGURED.get(name) ?? "")) continue;
    for (const { id, component, flag, isWrong, severity, text } of FLAG_CHECKS) {
      if (component !== name || flags.has(INSTEAD.get(flag) ?? "")) continue;
      const written = flags.get(flag);
      if (!isWrong(written?.value, flags)) continue;
      yield {
        resource,
        path: written?.path ?? path,
        severity,
        title: `\`${name}\`: \`--${flag}\` ${text}${id === "" ? "" : ` (CIS ${id})`}`,
      };
    }
  }
}

/** Each kubelet has a certificate of the cluster's CA: of etcd it would have every Secret. */
function* sharingCa(all: readonly Component[]): Iterable<Hit> {
  const taken = new Set(
    all
      .filter(({ name }) => name === "kube-apiserver")
      .flatMap(({ flags }) => flags.get("client-ca-file")?.value ?? []),
  );
  for (const { name, resource, flags } of all) {
    const trusted = flags.get("trusted-ca-file");
    if (name !== "etcd" || trusted === undefined || !taken.has(trusted.value)) continue;
    yield {
      resource,
      path: trusted.path,
      severity: "high",
      title:
        "`etcd`: `--trusted-ca-file` is the CA of the API server's clients: every kubelet and every user with a certificate reads all Secrets (CIS 2.7)",
    };
  }
}
