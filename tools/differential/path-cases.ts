/** Every byte of a path, written in every way, and the spellings by which others were tricked, under each normalisation. */
import { pathVariants } from "../../src/attack/path-variants.ts";
import type { PathNormalization } from "../../src/model/mesh-config.ts";
import type { DifferentialCase, MeshSpec, RequestSpec } from "./differential-case.ts";

const MODES: readonly PathNormalization[] = ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"];
const REQUESTS_EACH = 64;

/** Paths that rules name: what is allowed depends on how a path is read. */
const OPEN = "/accounts/7";
const CLOSED = "/salaries";

export function pathCases(): DifferentialCase[] {
  const targets = [...bytesInPaths(), ...pathVariants(OPEN, CLOSED, "app").map(({ target }) => target)];
  return MODES.flatMap((mode) => chunks(targets).map((chunk) => caseOf(mode, chunk)));
}

function bytesInPaths(): string[] {
  return Array.from({ length: 256 }, (_, code) => {
    const hex = code.toString(16).padStart(2, "0");
    const raw = code > 0x20 && code < 0x7f && code !== 0x23 ? [`/a${String.fromCharCode(code)}b`] : [];
    return [
      `/a%${hex}b`,
      `/%${hex.toUpperCase()}`,
      `/accounts/%${hex}../salaries`,
      `/accounts/..%${hex}/salaries`,
      `/x%${hex}%${hex}y/%25${hex}`,
      ...raw,
    ];
  }).flat();
}

function chunks(targets: readonly string[]): string[][] {
  const count = Math.ceil(targets.length / REQUESTS_EACH);
  return Array.from({ length: count }, (_, index) =>
    targets.slice(index * REQUESTS_EACH, (index + 1) * REQUESTS_EACH),
  );
}

function caseOf(pathNormalization: PathNormalization, targets: readonly string[]): DifferentialCase {
  const mesh: MeshSpec = {
    trustDomain: "cluster.local",
    trustDomainAliases: [],
    pathNormalization,
    peers: [],
    tokens: [],
    policies: [
      {
        namespace: "foo",
        selects: "all",
        dryRun: false,
        action: "DENY",
        rules: [{ to: [{ operation: { paths: [`${CLOSED}*`, "/a/*", "*%*"] } }] }],
      },
    ],
  };
  const requests = targets.map(
    (target): RequestSpec => ({ method: "GET", target, host: "app", headers: [], token: null }),
  );
  const connection = {
    tls: "plaintext",
    principal: "",
    alpn: [],
    sni: "",
    sourceIp: "10.1.0.5",
    port: 8080,
    http: true,
    requests,
  } as const;
  return { mesh, connections: [connection] };
}
