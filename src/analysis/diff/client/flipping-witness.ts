/** Of a client's change that concerns several hosts, the example that tells the most: what comes to be let through, or to be refused. */
import type { Mesh } from "../../../model/mesh.ts";
import { decide } from "../../../policy/decide.ts";
import type { Semantics } from "../../../policy/inbound.ts";
import { isWildcard } from "../../../policy/outbound/host-name.ts";
import type { AccessRequest } from "../../../policy/path/access-request.ts";
import type { ClientChange } from "./client-changes.ts";

/** So many of a change's hosts are tried. */
const MAX_TRIED = 16;

/** Where no call tried is, the example stays as it is: one that goes another way than before. */
export async function withFlippingWitness(
  meshes: readonly [before: Mesh, after: Mesh],
  semantics: Semantics,
  changes: readonly ClientChange[],
): Promise<readonly ClientChange[]> {
  const witnessed: ClientChange[] = [];
  for (const change of changes) {
    const witness = await firstFlipping(meshes, semantics, change);
    witnessed.push(witness === undefined ? change : { ...change, witness });
  }
  return witnessed;
}

async function firstFlipping(
  meshes: readonly [before: Mesh, after: Mesh],
  semantics: Semantics,
  { witness, dialled }: ClientChange,
): Promise<AccessRequest | undefined> {
  const options = { semantics, compareModes: false };
  const others = dialled.length < 2 ? [] : dialled.slice(0, MAX_TRIED).flatMap((to) => dialling(witness, to));
  for (const request of [witness, ...others]) {
    const [before, after] = [
      await decide(meshes[0], request, options),
      await decide(meshes[1], request, options),
    ];
    const isKnown = before.reason !== "unknown" && after.reason !== "unknown";
    if (isKnown && before.allowed !== after.allowed) return request;
  }
  return undefined;
}

/** The same request for another host; none where that is told in words. */
function dialling(request: AccessRequest, dialled: string): readonly AccessRequest[] {
  const [, host = "", port = ""] = /^([^\s,]+):(\d+)$/.exec(dialled) ?? [];
  if (host === "" || isWildcard(host)) return [];
  const authority = port === "80" ? host : `${host}:${port}`;
  return [
    {
      ...request,
      to: { host, port: Number(port) },
      ...(request.sni === undefined ? {} : { sni: host }),
      ...(request.host === undefined ? {} : { host: authority }),
    },
  ];
}
