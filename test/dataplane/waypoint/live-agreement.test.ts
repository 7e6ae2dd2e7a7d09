/** Random meshes: what a running waypoint does with a request is what `can` says of its hop, by whom and by which rule. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:net";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import { SignJWT } from "jose";
import type { FlowDraft } from "../../../src/model/flow-record.ts";
import { decide } from "../../../src/policy/decide.ts";
import type { Semantics } from "../../../src/policy/inbound.ts";
import type { AccessRequest } from "../../../src/policy/path/access-request.ts";
import type { Decision, HopVerdict } from "../../../src/policy/path/decision.ts";
import { entryText, meshConfigText, routeText, tokenText } from "../../policy/path/journey-text.ts";
import { ADDRESSES, type World } from "../../policy/reference/reference-ambient.ts";
import { arbitraryWorld } from "../../policy/waypoint/arbitrary-world.ts";
import { GATEWAY_REF, SERVICE_REF, targetedText } from "../../policy/waypoint/waypoint-mesh.ts";
import { worldText } from "../../policy/waypoint/world-mesh.ts";
import { ALLOWED, AuthorizerServers, DENIED } from "../ext-authz/authorizer-servers.ts";
import { until } from "../until.ts";
import { localText, type RunningWaypoint, requestIn, startWaypoint } from "./waypoint-fixture.ts";

const SEED = 20261123;
const NUM_RUNS = 200;

const KEYS = generateKeyPairSync("ec", { namedCurve: "P-256" });
const OTHERS = generateKeyPairSync("ec", { namedCurve: "P-256" });
const JWKS = JSON.stringify({ keys: [{ ...KEYS.publicKey.export({ format: "jwk" }), kid: "k" }] });
const tokenBy = ({ privateKey }: typeof KEYS): Promise<string> =>
  new SignJWT({ role: "admin" })
    .setProtectedHeader({ alg: "ES256", kid: "k" })
    .setIssuer("i")
    .setSubject("u")
    .setExpirationTime("1h")
    .sign(privateKey);
const TOKENS = { none: undefined, good: await tokenBy(KEYS), bad: await tokenBy(OTHERS) } as const;

interface LiveWorld {
  readonly world: World;
  /** More resources: routes, rules for tokens and for what they claim, and an authorizer's. */
  readonly more: readonly string[];
}

interface LiveQuestion {
  readonly client: "ambient" | "gateway";
  readonly to: "service" | "pod";
  readonly port: 80 | 81 | 90 | 9000;
  readonly protocol: "http" | "tcp";
  readonly method: string;
  readonly path: string;
  readonly header: boolean;
  readonly token: keyof typeof TOKENS;
  /** What the authorizer says, where it is asked. */
  readonly extAuthz: "allow" | "deny";
}

const action = fc.constantFrom<object>(
  { redirect: { uri: "/moved" } },
  { directResponse: { status: 418 } },
  {
    fault: { abort: { percentage: { value: 100 }, httpStatus: 429 } },
    route: [{ destination: { host: "s" } }],
  },
  { route: [{ destination: { host: "s.m.svc.cluster.local" } }] },
  { route: [{ destination: { host: "nobody.m.svc.cluster.local" } }] },
  { route: [{ destination: { host: "s.m.svc.cluster.local", subset: "none" } }] },
  { rewrite: { uri: "/b" }, route: [{ destination: { host: "s.m.svc.cluster.local" } }] },
);
const condition = fc.constantFrom<object | undefined>(
  undefined,
  { uri: { prefix: "/a" } },
  { uri: { exact: "/b" } },
  { method: { exact: "POST" } },
  { headers: { "x-h": { exact: "1" } } },
  { sourceLabels: { app: "c" } },
  { sourceNamespace: "m" },
  { headers: { "@request.auth.claims.role": { exact: "admin" } } },
);
const rule = fc
  .tuple(condition, action)
  .map(([match, act]) => (match === undefined ? act : { match: [match], ...act }));
const route = fc
  .tuple(fc.constantFrom("m", "m", "w", "k"), fc.array(rule, { minLength: 1, maxLength: 3 }))
  .map(([namespace, http]) => routeText(namespace, "v", { hosts: ["s.m.svc.cluster.local"], http }));

const aboutTokens = fc.constantFrom(
  tokenText("m", "t", { targetRefs: [SERVICE_REF], jwtRules: [{ issuer: "i", jwks: JWKS }] }),
  `${tokenText("m", "t", { targetRefs: [SERVICE_REF], jwtRules: [{ issuer: "i", jwks: JWKS }] })}${targetedText(
    { action: "ALLOW", rules: [{ from: [{ source: { requestPrincipals: ["i/u"] } }] }] },
    { name: "claimed" },
  )}`,
  `${tokenText("m", "t", { targetRefs: [SERVICE_REF], jwtRules: [{ issuer: "i", jwks: JWKS }] })}${targetedText(
    { action: "DENY", rules: [{ when: [{ key: "request.auth.claims[role]", notValues: ["admin"] }] }] },
    { name: "claimed" },
  )}`,
);

const custom = fc
  .constantFrom<object>(
    { to: [{ operation: { paths: ["/a*"] } }] },
    { to: [{ operation: { ports: ["9000"] } }] },
    { from: [{ source: { namespaces: ["g"] } }] },
    {},
  )
  .map((asked) =>
    targetedText(
      { action: "CUSTOM", provider: { name: "authz" }, rules: [asked] },
      { name: "asked", refs: [GATEWAY_REF] },
    ),
  );

function maybe(own: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.oneof({ weight: 2, arbitrary: fc.constant("") }, { weight: 1, arbitrary: own });
}

/** Most worlds bind the service to no waypoint, or to one that does not take it. */
const boundWorld = arbitraryWorld.map(
  (world): World => ({
    ...world,
    namespaceLabels: { "istio.io/use-waypoint": "wp", "istio.io/ingress-use-waypoint": "true" },
    serviceLabels: {},
    waypoints: { ...world.waypoints, m: { traffic: "all", from: undefined } },
  }),
);

const arbitraryLiveWorld: fc.Arbitrary<LiveWorld> = fc.record({
  world: fc.oneof({ weight: 1, arbitrary: arbitraryWorld }, { weight: 3, arbitrary: boundWorld }),
  more: fc.tuple(maybe(route), maybe(aboutTokens), maybe(custom)),
});

const arbitraryLiveQuestion: fc.Arbitrary<LiveQuestion> = fc
  .record({
    client: fc.constantFrom("ambient" as const, "ambient" as const, "ambient" as const, "gateway" as const),
    to: fc.constantFrom("service" as const, "service" as const, "service" as const, "pod" as const),
    port: fc.constantFrom<LiveQuestion["port"]>(80, 80, 80, 81, 90, 9000),
    protocol: fc.constantFrom("http" as const, "http" as const, "http" as const, "tcp" as const),
    method: fc.constantFrom("GET", "POST"),
    path: fc.constantFrom("/a", "/b", "/ab?q=1", "/c/../a"),
    header: fc.boolean(),
    token: fc.constantFrom<keyof typeof TOKENS>("none", "none", "good", "bad"),
    extAuthz: fc.constantFrom("allow" as const, "deny" as const),
  })
  .filter(
    ({ client, to, port, protocol }) =>
      client === "ambient" || (to === "service" && (port === 9000 || (port === 80 && protocol === "http"))),
  );

const AUTHORIZER_ADDRESS = "10.1.0.40";
const AUTHORIZER = [
  meshConfigText({
    extensionProviders: [
      { name: "authz", envoyExtAuthzGrpc: { service: "authz.example", port: 9000, timeout: "20s" } },
    ],
  }),
  entryText("istio-system", "authz", {
    hosts: ["authz.example"],
    ports: [{ number: 9000, name: "grpc", protocol: "GRPC" }],
    location: "MESH_EXTERNAL",
    resolution: "STATIC",
    endpoints: [{ address: AUTHORIZER_ADDRESS }],
  }),
].join("");

function textOf({ world, more }: LiveWorld): string {
  const auto = '{"name":"auto-it","port":90,"targetPort":8080}';
  return (AUTHORIZER + worldText(world) + more.join("")).replaceAll(
    '"ports":[{"name":"http","port":80',
    `"ports":[${auto},{"name":"http","port":80`,
  );
}

/** The pod's own, by its address. */
function portOf({ to, port, protocol }: LiveQuestion): number {
  if (to === "service") return port;
  return protocol === "http" ? 8080 : 9000;
}

function headersOf({ header, token }: LiveQuestion): readonly (readonly [string, string])[] {
  const jwt = TOKENS[token];
  return [
    ...(header ? [["x-h", "1"] as const] : []),
    ...(jwt === undefined ? [] : [["authorization", `Bearer ${jwt}`] as const]),
  ];
}

const WORKLOADS = { ambient: "m/c", gateway: "g/g" } as const;
const IDENTITIES = {
  ambient: "spiffe://cluster.local/ns/m/sa/c",
  gateway: "spiffe://cluster.local/ns/g/sa/g",
} as const;

async function saidBy(
  { mesh, address }: RunningWaypoint,
  question: LiveQuestion,
  semantics: Semantics,
): Promise<Decision> {
  const { client, to, protocol, method, path, extAuthz } = question;
  const pod = address.replace(/\.9$/, ".2");
  const port = portOf(question);
  const request: AccessRequest = {
    from: { workload: WORKLOADS[client] },
    to: to === "service" ? { service: "s.m", port } : { host: pod, port },
    protocol,
    method,
    path,
    host: "s.m",
    extAuthz,
    ...(protocol === "http" ? { headers: headersOf(question) } : {}),
  };
  return decide(mesh, request, { compareModes: false, semantics });
}

/** The one record of it. */
async function doneBy(waypoint: RunningWaypoint, question: LiveQuestion): Promise<FlowDraft> {
  waypoint.flows.length = 0;
  const { client, to, protocol, method, path } = question;
  const host = to === "service" ? "10.96.0.1" : "10.1.0.2";
  const opened = await waypoint.open(IDENTITIES[client], ADDRESSES[client], `${host}:${portOf(question)}`);
  const isOver = ({ kind }: FlowDraft): boolean => kind !== "handshake";
  if (opened.status === 200 && protocol === "http" && portOf(question) !== 9000) {
    const headers = headersOf(question).map(([name, value]) => `${name}: ${value}`);
    const body = method === "POST" ? { body: "" } : {};
    await requestIn(opened, method, path, { headers, ...body });
  } else if (opened.status === 200)
    opened.stream
      .resume()
      .end(
        protocol === "http" ? `${method} ${path} HTTP/1.1\r\nhost: s.m\r\n\r\n` : "\x00\x01 bytes\r\n\r\n",
      );
  await until(() => waypoint.flows.some(isOver), `a record of ${JSON.stringify(question)}`, 15_000);
  opened.stream.close();
  const [flow, ...more] = waypoint.flows.filter(isOver);
  assert.deepEqual(more, []);
  return flow as FlowDraft;
}

const ANSWERED_HERE: ReadonlySet<string> = new Set(["redirect", "direct-response", "fault"]);

function compare(hop: HopVerdict, flow: FlowDraft, { protocol }: LiveQuestion): void {
  const { verdict, reason = "", layer, policy = null, rule = null, status, kind } = flow;
  const isAllowed = verdict === "allow" && !ANSWERED_HERE.has(reason);
  if (kind === "request") assert.equal(status, hop.code === 0 ? 400 : hop.code);
  // Bytes where HTTP was expected: the reader of heads says finer what is wrong with them.
  if (layer === "protocol" && protocol === "tcp") {
    assert.deepEqual([isAllowed, hop.allowed, hop.cause], [false, false, "bad-request"]);
    return;
  }
  assert.deepEqual(
    { allowed: isAllowed, cause: reason, layer, policy, rule },
    { allowed: hop.allowed, cause: hop.cause, layer: hop.layer, policy: hop.policy, rule: hop.rule },
  );
}

async function startAuthorizer(context: TestContext, host: string): Promise<AuthorizerServers> {
  const authorizer = new AuthorizerServers();
  const server = createServer(authorizer.accept);
  await new Promise<void>((resolve) => server.listen(9000, host, resolve));
  context.after(() => {
    server.close();
    for (const socket of authorizer.sockets) socket.destroy();
  });
  return authorizer;
}

for (const [semantics, net] of [
  ["strict", 184],
  ["istio", 185],
] as const)
  test(`a running waypoint does what can says of it (${semantics} semantics)`, async (context) => {
    const sample = fc.sample(arbitraryLiveWorld, { seed: SEED, numRuns: 1 })[0];
    assert.ok(sample);
    const authorizer = await startAuthorizer(context, localText(AUTHORIZER_ADDRESS, net));
    const waypoint = await startWaypoint(context, textOf(sample), { net, semantics });
    assert.equal(waypoint.address, localText("10.1.0.9", net));
    const seen = new Map<string, number>();
    const count = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1);
    await fc.assert(
      fc.asyncProperty(arbitraryLiveWorld, arbitraryLiveQuestion, async (world, question) => {
        await waypoint.apply(textOf(world));
        const { hops } = await saidBy(waypoint, question, semantics);
        const hop = hops.find((own) => own.side === "waypoint" && own.hop === "m/wp");
        // Whether others send by it is their business: of what ambient clients do not send by it, it serves nothing.
        if (hop === undefined && question.client === "gateway") return;
        authorizer.grpc = () => (question.extAuthz === "allow" ? ALLOWED : DENIED);
        const flow = await doneBy(waypoint, question);
        if (hop === undefined) assert.deepEqual([flow.verdict, flow.reason], ["deny", "not-served"]);
        else compare(hop, flow, question);
        count(hop === undefined ? "not-served" : hop.cause);
      }),
      { seed: SEED, numRuns: NUM_RUNS, endOnFailure: true },
    );
    const told = JSON.stringify([...seen]);
    const came = (cause: string): boolean => (seen.get(cause) ?? 0) > 0;
    for (const cause of ["not-served", "no-allow-matched", "deny-matched", "no-chain", "ext-authz-denied"])
      assert.ok(came(cause), `${cause} never came up: ${told}`);
    assert.ok([...ANSWERED_HERE].some(came), `no route answered itself: ${told}`);
  });
