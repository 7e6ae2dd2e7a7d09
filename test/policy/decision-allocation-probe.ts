/** Prints bytes of heap per call: the least growth of nine rounds. Run with --expose-gc, and without concurrent recompilation, so that warm is warm. */
import { decideConnection, decideRequest } from "../../src/policy/inbound.ts";
import { assumedClaims } from "../../src/policy/jwt/verify-jwt.ts";
import { authorizeRequest } from "../../src/policy/permit.ts";
import { authorization, connect, get, policyOf, resource } from "./inbound-fixture.ts";

const WARM_UP = 20_000;
const CALLS = 5_000;
const ROUNDS = 9;

const rules = Array.from({ length: 10 }, (_, index) => ({
  from: [
    {
      source: {
        principals: [`cluster.local/ns/n${index}/sa/a`, "cluster.local/ns/foo/sa/sleep"],
        notNamespaces: ["bar*"],
      },
    },
  ],
  to: [
    {
      operation: {
        hosts: ["*.example.com"],
        methods: ["GET"],
        paths: ["/api/{*}/users", `/p${index}*`],
        ports: ["8080"],
      },
    },
    { operation: { paths: ["/api/{**}"], hosts: ["app"] } },
  ],
  when: [
    { key: "request.headers[x-role]", values: [`r${index}`, "dev"] },
    { key: "source.ip", values: ["10.0.0.0/8", "192.168.0.0/16"] },
    { key: "remote.ip", values: ["203.0.113.0/24"] },
    { key: "source.serviceAccount", values: ["bar/x", "foo/sleep"] },
    { key: "source.trustDomain", values: ["*.local"] },
    { key: "request.auth.claims[groups]", values: [`g${index}`] },
  ],
}));
function manyRules(count: number, path: string): object[] {
  return Array.from({ length: count }, (_, index) => ({
    from: [
      {
        source:
          index % 3 === 0
            ? { namespaces: [`n${index}`, "foo"] }
            : { principals: [`cluster.local/ns/foo/sa/${index % 6 === 1 ? "sleep" : `a${index}`}`] },
      },
    ],
    to: [{ operation: { paths: [`${path}${index}`, `${path}${index}/*`], hosts: ["app", `*.h${index}`] } }],
    ...(index % 2 === 0 ? {} : { when: [{ key: "request.headers[x-role]", values: [`r${index}`, "dev"] }] }),
  }));
}

const policy = policyOf([
  authorization("d", {
    action: "DENY",
    rules: rules.map((rule) => ({ ...rule, to: [{ operation: { paths: ["/never"] } }] })),
  }),
  authorization("a", { rules }),
  resource("RequestAuthentication", "jwt", { jwtRules: [{ issuer: "i", jwks: "{}" }] }),
]);
const tcp = policyOf([authorization("a", { rules: rules.map(({ from }) => ({ from })) })]);
/** So many that they are found through the index's tree, in several dimensions. */
const many = policyOf([
  authorization("d", { action: "DENY", rules: manyRules(40, "/never") }),
  authorization("a", { rules: manyRules(400, "/p") }),
]);
const connection = connect();
const tcpConnection = connect({ destinationPort: 9000, alpn: ["istio"] });
const request = get("/api/v1/users/1?x=y", ["x-role", "dev", "x-forwarded-for", "203.0.113.9"]);
const manyRequest = get("/p397/x", ["x-role", "none", "x-role", "dev"]);
request.jwt = assumedClaims({ iss: "i", sub: "s", groups: ["g9"] });

function bytesPerCall(call: () => unknown): number {
  // Only compiled code counts: the interpreter boxes numbers.
  for (let index = 0; index < WARM_UP; index++) call();
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    globalThis.gc?.();
    const before = process.memoryUsage().heapUsed;
    for (let index = 0; index < CALLS; index++) call();
    least = Math.min(least, (process.memoryUsage().heapUsed - before) / CALLS);
  }
  return least;
}

let kept: unknown;
console.log(
  JSON.stringify({
    decideRequest: bytesPerCall(() => decideRequest(policy, connection, request)),
    decideConnection: bytesPerCall(() => decideConnection(tcp, tcpConnection)),
    decideAmongMany: bytesPerCall(() => decideRequest(many, connection, manyRequest)),
    authorizeRequest: bytesPerCall(() => authorizeRequest(policy, connection, request)),
    control: bytesPerCall(() => {
      kept = { ...request };
      return kept;
    }),
  }),
);
