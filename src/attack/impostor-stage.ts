import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Mesh } from "../model/mesh.ts";
import type { ImpostorStage } from "./mesh-under-attack.ts";

/** A name that no user's resource has (RFC 6761 §6.4). */
const HOST = "impostor-stage.bulwark.invalid";
const PORT = 18_080;

/**
 * Writes a service whose one endpoint is an address where the attacker will listen, and whose identities are one workload's:
 * what a mesh looks like after somebody took over an endpoint's address.
 * @param address of 127/8, used by nobody.
 * @returns undefined for a mesh without a workload that could own it.
 */
export function writeImpostorStage(folder: string, mesh: Mesh, address: string): ImpostorStage | undefined {
  const owner = mesh.workloads.find(
    ({ role, dataplane }) => role === "application" && dataplane === "sidecar",
  );
  if (owner === undefined) return undefined;
  const { rootNamespace } = mesh.config;
  const documents = [
    {
      apiVersion: "networking.istio.io/v1",
      kind: "ServiceEntry",
      metadata: { name: "impostor-stage", namespace: rootNamespace },
      spec: {
        hosts: [HOST],
        location: "MESH_INTERNAL",
        resolution: "STATIC",
        ports: [{ number: PORT, name: "http", protocol: "HTTP" }],
        endpoints: [{ address }],
        subjectAltNames: [owner.spiffeId],
        exportTo: ["*"],
      },
    },
    {
      apiVersion: "networking.istio.io/v1",
      kind: "DestinationRule",
      metadata: { name: "impostor-stage", namespace: rootNamespace },
      spec: { host: HOST, exportTo: ["*"], trafficPolicy: { tls: { mode: "ISTIO_MUTUAL" } } },
    },
  ];
  const text = documents.map((document) => JSON.stringify(document)).join("\n---\n");
  writeFileSync(join(folder, "impostor-stage.yaml"), `${text}\n`, { mode: 0o600 });
  return { url: `http://${HOST}:${PORT}/`, address, port: PORT, owner: owner.key };
}
