/** Where a PeerAuthentication takes back the STRICT of the level above, and a request in clear is let in for it. */

import { indexPeerMtls, type PeerMtls } from "../../../policy/outbound/peer-mtls.ts";
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import type { FieldPath } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import {
  isSelective,
  modeOf,
  type PeerAuthentication,
  portModesOf,
  portsOf,
} from "./peer-authentications.ts";
import { plaintextInto } from "./request-into.ts";

export interface TlsException {
  readonly policy: PeerAuthentication;
  readonly path: FieldPath;
  readonly text: string;
  /** Whether it is for the whole namespace. */
  readonly isWide: boolean;
  /** The first workload and port that it opens. */
  readonly workload: string;
  readonly port: number;
  readonly witness: AccessRequest;
}

export function tlsExceptions(audit: AuditContext): readonly TlsException[] {
  const peers = indexPeerMtls(audit.mesh);
  return audit.mesh.peerAuthentications.flatMap((policy) =>
    [...exceptionsOf(audit, policy, peers)].flatMap((exception) => opened(audit, policy, exception) ?? []),
  );
}

function opened(
  audit: AuditContext,
  policy: PeerAuthentication,
  { port: only, path, text }: Exception,
): TlsException | undefined {
  const places = portsOf(audit, policy).filter(({ port }) => only === undefined || only === port);
  for (const { server, port } of places) {
    const isOwn = only !== undefined || !portModesOf(policy).some(([other]) => other === port);
    const witness = isOwn ? plaintextInto(audit, server, port) : undefined;
    if (witness !== undefined)
      return {
        policy,
        path,
        text,
        isWide: !isSelective(policy),
        workload: server.workload.key,
        port,
        witness,
      };
  }
  return undefined;
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
