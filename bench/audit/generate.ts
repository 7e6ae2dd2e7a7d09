/**
 * A mesh for `audit`, the same for the same numbers: that of `bench/blast` (accounts, AuthorizationPolicies, network policies and rights, STRICT), and besides: for every fourth workload a VirtualService and a DestinationRule of mutual TLS, and
 * DestinationRules that say DISABLE to servers behind sidecars that take mutual TLS alone, spread evenly.
 */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { writeBlastMesh } from "../blast/generate.ts";

const PER_NAMESPACE = 10;
const ROUTED = 4;

/** @returns the planted DestinationRules, as findings name them. */
export function writeAuditMesh(folder: string, workloads: number, planted: number): readonly string[] {
  writeBlastMesh(folder, workloads);
  const step = Math.floor((workloads * 3) / (4 * planted));
  let sidecars = 0;
  const names: string[] = [];
  for (let at = 0; at < workloads; at++) {
    const namespace = `team-${String(Math.floor(at / PER_NAMESPACE)).padStart(4, "0")}`;
    const service = `service-${at % PER_NAMESPACE}`;
    // Every fourth namespace is in ambient mode, whose servers are spoken to through HBONE whatever a DestinationRule says of TLS.
    const hasSidecar = Math.floor(at / PER_NAMESPACE) % 4 !== 3;
    const isPlanted = hasSidecar && sidecars++ % step === 0 && names.length < planted;
    if (isPlanted) names.push(`DestinationRule ${namespace}/${service}`);
    else if (at % ROUTED !== 0) continue;
    appendFileSync(join(folder, `${namespace}.yaml`), routing(namespace, service, isPlanted));
  }
  return names;
}

function routing(namespace: string, service: string, isPlanted: boolean): string {
  const host = `${service}.${namespace}.svc.cluster.local`;
  return `---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ${service}, namespace: ${namespace}}
spec:
  host: ${host}
  trafficPolicy: {tls: {mode: ${isPlanted ? "DISABLE" : "ISTIO_MUTUAL"}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${service}, namespace: ${namespace}}
spec:
  hosts: [${host}]
  http:
  - timeout: 5s
    route: [{destination: {host: ${host}, port: {number: 80}}}]
`;
}
