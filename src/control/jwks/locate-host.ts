import { promises as dns } from "node:dns";
import { isIP } from "node:net";
import { resolveTargetPort } from "../../model/build-services.ts";
import type { Mesh, Service } from "../../model/mesh.ts";
import { type Placement, socketPort } from "../../model/placement.ts";

import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { Located } from "./key-access.ts";

/** What names mean at present. */
export interface KnownHosts {
  readonly mesh: Mesh;
  readonly placement: Placement;
  /** With stand-ins nothing outside exists but what they play. */
  readonly simulated: boolean;
}

/**
 * Where the host of a URL is: a Service of the mesh at its pods, a host that is simulated at its stand-in, any other by DNS.
 * @throws {BulwarkError} BW_JWKS_UNRESOLVED
 */
export async function locateHost(url: URL, known: KnownHosts | undefined): Promise<Located> {
  const host = url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  if (isIP(host) !== 0) return { place: "outside", addresses: [host], port };
  const inside =
    known === undefined ? undefined : (inMesh(host, port, known) ?? atStandIn(host, port, known));
  if (inside !== undefined) return inside;
  if (known?.simulated === true)
    throw new BulwarkError("BW_JWKS_UNRESOLVED", `nothing stands in for \`${host}\``);
  try {
    const found = await dns.lookup(host, { all: true });
    if (found.length > 0) return { place: "outside", addresses: found.map(({ address }) => address), port };
  } catch {
    // Said below: which way a look-up failed helps nobody.
  }
  throw new BulwarkError("BW_JWKS_UNRESOLVED", `\`${host}\` does not resolve`);
}

function inMesh(host: string, port: number, { mesh, placement }: KnownHosts): Located | undefined {
  const service = mesh.services.find((each) => each.origin === "kubernetes" && namesOf(each).includes(host));
  if (service === undefined) return undefined;
  const servicePort = service.ports.find((candidate) => candidate.port === port);
  for (const { workload } of service.endpoints) {
    const number = servicePort === undefined ? undefined : resolveTargetPort(servicePort, workload);
    const pods = placement.pods.filter((pod) => pod.workload === workload?.key);
    if (number !== undefined && pods.length > 0)
      return {
        place: "mesh",
        addresses: pods.map(({ address }) => address),
        port: socketPort(placement, number),
      };
  }
  throw new BulwarkError("BW_JWKS_UNRESOLVED", `nothing serves port ${port} of \`${host}\``);
}

/** As a cluster's DNS completes them; the namespace is always given, as control stands in none of them. */
function namesOf({ hostname, name, namespace }: Service): readonly string[] {
  return [hostname, `${name}.${namespace}`, `${name}.${namespace}.svc`];
}

function atStandIn(host: string, port: number, { placement }: KnownHosts): Located | undefined {
  const plays = (pattern: string) =>
    pattern.startsWith("*") ? host.endsWith(pattern.slice(1).toLowerCase()) : host === pattern.toLowerCase();
  const [standIn] = placement.standIns
    .filter((candidate) => plays(candidate.host))
    .toSorted((a, b) => b.host.length - a.host.length);
  if (standIn === undefined) return undefined;
  return { place: "stand-in", addresses: [standIn.address], port: socketPort(placement, port) };
}
