import { indexPeerMtls, type PeerMtls } from "../../../policy/outbound/peer-mtls.ts";
import type { FieldPath } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import {
  isSelective,
  modeOf,
  type PeerAuthentication,
  portModesOf,
  portsOf,
} from "../facts/peer-authentications.ts";
import { plaintextInto } from "../facts/request-into.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const mtlsException: AuditRule = {
  id: "BW0630",
  title: "A hole in STRICT through which plaintext gets in",
  severity: "high",
  attacks: ["M1"],
  what:
    "PeerAuthentications that take back, for a namespace, a workload or a port, the STRICT of the level above, where a request in clear is then really let in: AuthorizationPolicies do not refuse it. Shown by that request. " +
    "Exceptions behind which policies ask for an identity are not told.",
  why: "The mesh reads as STRICT. At these ports anybody who has the pod's address, with or without a sidecar, gets in without a certificate, and nobody knows who it was.",
  fix: "Take the exception away; where a client without a proxy needs it, for that port alone, and with an AuthorizationPolicy that lets in nothing else there.",
  claims: ["mutual-tls"],
  check: exceptions,
};

function* exceptions(audit: AuditContext): Iterable<Hit> {
  const peers = indexPeerMtls(audit.mesh);
  for (const policy of audit.mesh.peerAuthentications)
    for (const exception of exceptionsOf(audit, policy, peers)) {
      const places = portsOf(audit, policy).filter(
        ({ port }) => exception.port === undefined || exception.port === port,
      );
      for (const { server, port } of places) {
        const isOwn = exception.port !== undefined || !portModesOf(policy).some(([other]) => other === port);
        const witness = isOwn ? plaintextInto(audit, server, port) : undefined;
        if (witness === undefined) continue;
        yield {
          resource: policy,
          path: exception.path,
          title: `${exception.text}: \`${server.workload.key}\` takes plaintext at port ${port}`,
          witness,
        };
        break;
      }
    }
}

interface Exception {
  readonly port?: number;
  readonly path: FieldPath;
  readonly text: string;
}

function* exceptionsOf(
  { mesh }: AuditContext,
  policy: PeerAuthentication,
  peers: PeerMtls,
): Iterable<Exception> {
  const root = mesh.config.rootNamespace;
  if (policy.namespace === root) return;
  const above = isSelective(policy) ? peers.namespaceMode(policy.namespace) : peers.namespaceMode(root);
  const own = modeOf(policy);
  if (above === "STRICT" && isLoose(own))
    yield {
      path: ["spec", "mtls", "mode"],
      text: `${own} where ${isSelective(policy) ? "the namespace" : "the mesh"} is STRICT`,
    };
  if (!isSelective(policy) || (own ?? above) !== "STRICT") return;
  for (const [port, mode] of portModesOf(policy))
    if (isLoose(mode))
      yield {
        port,
        path: ["spec", "portLevelMtls", String(port), "mode"],
        text: `${mode} at a port where the workload is STRICT`,
      };
}

function isLoose(mode: string | undefined): boolean {
  return mode === "PERMISSIVE" || mode === "DISABLE";
}
