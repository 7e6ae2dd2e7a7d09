/** What becomes of open tunnels when policies, routes, bindings, certificates or trust change; and who is asked before one opens. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { peerFromCertificateDer } from "../../../src/identity/peer-certificate.ts";
import { decodePem } from "../../../src/identity/pem.ts";
import type { RevokedCertificate } from "../../../src/identity/revocation/revoked-set.ts";
import type { SvidSource } from "../../../src/identity/rotation.ts";
import type { FlowDraft } from "../../../src/model/flow-record.ts";
import { entryText, meshConfigText } from "../../policy/path/journey-text.ts";
import { boundServiceText, shopText, targetedText, USES } from "../../policy/waypoint/waypoint-mesh.ts";
import { ALLOWED, AuthorizerServers, DENIED } from "../ext-authz/authorizer-servers.ts";
import { until } from "../until.ts";
import {
  localText,
  type OpenedTunnel,
  type RunningWaypoint,
  requestIn,
  startWaypoint,
  type WaypointOptions,
} from "./waypoint-fixture.ts";

const NET = 186;
const WAIT_MS = 30_000;
const CLIENT = "spiffe://cluster.local/ns/m/sa/c";
const OTHER = "spiffe://cluster.local/ns/m/sa/d";
const FROM = "10.1.0.1";
const HTTP = "10.96.0.1:80";
const TCP = "10.96.0.1:9000";

const denyClient = (more: object = {}): string =>
  targetedText({
    action: "DENY",
    rules: [{ from: [{ source: { principals: [CLIENT.slice("spiffe://".length)] } }], ...more }],
  });

function start(
  context: TestContext,
  yaml = shopText(),
  options: Partial<WaypointOptions> = {},
): Promise<RunningWaypoint> {
  return startWaypoint(context, yaml, { net: NET, ...options });
}

/** Bytes through it and back. */
async function echo({ stream }: OpenedTunnel, text: string): Promise<void> {
  let got = "";
  const take = (chunk: Buffer): void => {
    got += chunk.toString("latin1");
  };
  stream.on("data", take);
  stream.write(text);
  await until(() => got === text, `the echo of ${text}`, WAIT_MS);
  stream.off("data", take);
}

const over = ({ stream }: OpenedTunnel): Promise<void> =>
  until(() => stream.destroyed || stream.closed, "the end of the tunnel", WAIT_MS);

async function record(waypoint: RunningWaypoint, which: (flow: FlowDraft) => boolean): Promise<FlowDraft> {
  await until(() => waypoint.flows.some(which), "the record", WAIT_MS);
  return waypoint.flows.find(which) as FlowDraft;
}

const isCut = ({ kind, verdict }: FlowDraft): boolean => kind === "connection" && verdict === "deny";

test("bytes under way end when a policy forbids them, and nobody else's", async (context) => {
  const waypoint = await start(context);
  const [ended, kept] = [await waypoint.open(CLIENT, FROM, TCP), await waypoint.open(OTHER, FROM, TCP)];
  await echo(ended, "one");
  await echo(kept, "one");
  await waypoint.apply(shopText(USES, denyClient()));
  await over(ended);
  await echo(kept, "two");
  const { layer, reason, policy, rule, source, bytesSent } = await record(waypoint, isCut);
  assert.deepEqual(
    [layer, reason, policy, rule, source?.principal, bytesSent],
    ["authorization", "deny-matched", "AuthorizationPolicy m/p", 0, CLIENT.slice("spiffe://".length), 3],
  );
});

test("a request under way is refused when a policy forbids it; others of the tunnel go on", async (context) => {
  const waypoint = await start(context, shopText(), {
    answer: ({ path }) => (path === "/slow" ? "hang" : { status: 200 }),
  });
  const tunnel = await waypoint.open(CLIENT, FROM, HTTP);
  const slow = requestIn(tunnel, "GET", "/slow");
  await until(() => waypoint.requests.length === 1, "the request", WAIT_MS);
  await waypoint.apply(shopText(USES, denyClient({ to: [{ operation: { paths: ["/slow"] } }] })));
  assert.equal((await slow).status, 403);
  const { verdict, policy, status } = await record(waypoint, ({ kind }) => kind === "request");
  assert.deepEqual([verdict, policy, status], ["deny", "AuthorizationPolicy m/p", 403]);
  assert.equal((await requestIn(await waypoint.open(CLIENT, FROM, HTTP), "GET", "/a")).status, 200);
});

test("what is open to a service that leaves the waypoint ends, and no new tunnel to it opens", async (context) => {
  const waypoint = await start(context);
  const bytes = await waypoint.open(CLIENT, FROM, TCP);
  const http = await waypoint.open(CLIENT, FROM, HTTP);
  await echo(bytes, "one");
  assert.equal((await requestIn(http, "GET", "/a")).status, 200);
  const unbound = boundServiceText({ "istio.io/use-waypoint": "none" });
  await waypoint.apply(shopText().replace(boundServiceText(), unbound));
  await over(bytes);
  await over(http);
  const cut = waypoint.flows.filter(isCut).map(({ layer, reason }) => [layer, reason]);
  assert.deepEqual(cut, [
    ["route", "not-served"],
    ["route", "not-served"],
  ]);
  assert.equal((await waypoint.open(CLIENT, FROM, HTTP)).status, 404);
});

test("an address that becomes another service's ends what is open to it", async (context) => {
  const waypoint = await start(context);
  const bytes = await waypoint.open(CLIENT, FROM, TCP);
  await echo(bytes, "one");
  const moved = boundServiceText({}, { clusterIP: "10.96.0.7" });
  const newcomer = boundServiceText({}, {}, "m", "new");
  await waypoint.apply(shopText(USES, newcomer).replace(boundServiceText(), moved));
  await over(bytes);
  assert.equal((await record(waypoint, isCut)).reason, "not-served");
});

test("bytes on a port that is HTTP by now end: they would pass by the rules for requests", async (context) => {
  const waypoint = await start(context);
  const bytes = await waypoint.open(CLIENT, FROM, TCP);
  await echo(bytes, "one");
  const ports = [{ name: "http-now", port: 9000 }];
  await waypoint.apply(shopText().replace(boundServiceText(), boundServiceText({}, { ports })));
  await over(bytes);
  assert.equal((await record(waypoint, isCut)).reason, "chain-changed");
});

function leafOf(source: SvidSource) {
  const [leaf] = decodePem("CERTIFICATE", source.current?.chainPem ?? "");
  const read = leaf === undefined ? { error: "none" } : peerFromCertificateDer(leaf);
  if ("error" in read) throw new Error(read.error);
  return read;
}

function revocationOf(source: SvidSource): RevokedCertificate {
  const { serial, authorityKeyId = "", notAfter } = leafOf(source);
  return { serial, issuerKeyId: authorityKeyId, notAfterMs: notAfter.getTime(), reason: "keyCompromise" };
}

test("a revoked client's tunnels are cut, and it gets no connection any more", async (context) => {
  const waypoint = await start(context);
  const [ended, kept] = [await waypoint.open(CLIENT, FROM, TCP), await waypoint.open(OTHER, FROM, TCP)];
  await echo(ended, "one");
  await echo(kept, "one");
  const revoked = [revocationOf(await waypoint.identityOf(CLIENT))];
  assert.equal(waypoint.proxy.takeRevocations({ revoked, maxAgeMs: 0 }), 1);
  await over(ended);
  await echo(kept, "two");
  await assert.rejects(waypoint.open(CLIENT, FROM, TCP));
  const { principal } = (await record(waypoint, ({ kind }) => kind === "revocation")).source ?? {};
  assert.equal(principal, CLIENT.slice("spiffe://".length));
  const refused = await record(waypoint, ({ kind, verdict }) => kind === "handshake" && verdict === "deny");
  assert.deepEqual(
    [refused.layer, refused.reason, refused.source?.principal, refused.destination?.port],
    ["transport", "certificate-revoked", CLIENT.slice("spiffe://".length), 15_008],
  );
});

test("tunnels to a revoked pod are cut, and none to it is made any more", async (context) => {
  const waypoint = await start(context);
  const bytes = await waypoint.open(CLIENT, FROM, TCP);
  await echo(bytes, "one");
  const revoked = [revocationOf(await waypoint.identityOf("spiffe://cluster.local/ns/m/sa/s"))];
  assert.ok(waypoint.proxy.takeRevocations({ revoked, maxAgeMs: 0 }) >= 1);
  await over(bytes);
  const answer = await requestIn(await waypoint.open(CLIENT, FROM, HTTP), "GET", "/a");
  assert.equal(answer.status, 503);
});

test("after a rotation open tunnels go on, and new ones are made with the new certificate", async (context) => {
  const waypoint = await start(context);
  const bytes = await waypoint.open(CLIENT, FROM, TCP);
  await echo(bytes, "one");
  const before = leafOf(waypoint.identity).serial;
  assert.ok(await waypoint.identity.requestNow());
  const after = leafOf(waypoint.identity).serial;
  assert.notEqual(after, before);
  await echo(bytes, "two");
  assert.equal((await requestIn(await waypoint.open(CLIENT, FROM, HTTP), "GET", "/a")).status, 200);
  const serials = waypoint.tunnels.map(({ serial }) => serial.toLowerCase());
  assert.deepEqual(
    serials,
    [before, after].map((own) => own.replace(/^0+/, "").padStart(own.length, "0")),
  );
});

const CUSTOM = { action: "CUSTOM", provider: { name: "authz" } };

/** A gRPC authorizer outside of the mesh. */
async function withAuthorizer(
  context: TestContext,
  rules: readonly object[],
): Promise<{ authorizer: AuthorizerServers; yaml: string }> {
  const authorizer = new AuthorizerServers();
  const server = createServer(authorizer.accept);
  const address = localText("10.1.0.40", NET);
  await new Promise<void>((resolve) => server.listen(9000, address, resolve));
  context.after(() => {
    server.close();
    for (const socket of authorizer.sockets) socket.destroy();
  });
  const yaml = [
    meshConfigText({
      extensionProviders: [
        { name: "authz", envoyExtAuthzGrpc: { service: "authz.example", port: 9000, timeout: "5s" } },
      ],
    }),
    entryText("istio-system", "authz", {
      hosts: ["authz.example"],
      ports: [{ number: 9000, name: "grpc", protocol: "GRPC" }],
      location: "MESH_EXTERNAL",
      resolution: "STATIC",
      endpoints: [{ address: "10.1.0.40" }],
    }),
    targetedText({ ...CUSTOM, rules }),
  ].join("");
  return { authorizer, yaml: shopText(USES, yaml) };
}

test("the authorizer of a CUSTOM policy is asked about requests that it matches, and told of the tunnel's client", async (context) => {
  const { authorizer, yaml } = await withAuthorizer(context, [
    { to: [{ operation: { paths: ["/asked*"] } }] },
  ]);
  const waypoint = await start(context, yaml);
  const tunnel = await waypoint.open(CLIENT, FROM, HTTP);
  assert.equal((await requestIn(tunnel, "GET", "/free")).status, 200);
  assert.equal(authorizer.grpcChecks.length, 0);
  authorizer.grpc = ({ http }) => (http?.path === "/asked/yes" ? ALLOWED : DENIED);
  assert.equal((await requestIn(tunnel, "GET", "/asked/yes")).status, 200);
  assert.equal((await requestIn(tunnel, "GET", "/asked/no")).status, 403);
  const [check] = authorizer.grpcChecks;
  assert.deepEqual(
    [check?.source.principal, check?.destination.principal],
    [CLIENT, "spiffe://cluster.local/ns/m/sa/wp"],
  );
  const denied = await record(waypoint, ({ path }) => path === "/asked/no");
  assert.deepEqual(
    [denied.verdict, denied.authorizer?.provider, denied.authorizer?.answer],
    ["deny", "authz", "deny"],
  );
});

test("the authorizer is asked about bytes, too; one that does not answer lets nobody pass", async (context) => {
  const { authorizer, yaml } = await withAuthorizer(context, [{ to: [{ operation: { ports: ["9000"] } }] }]);
  const waypoint = await start(context, yaml);
  await echo(await waypoint.open(CLIENT, FROM, TCP), "one");
  assert.equal(authorizer.grpcChecks.length, 1);
  authorizer.grpc = () => DENIED;
  const denied = await waypoint.open(CLIENT, FROM, TCP);
  await over(denied);
  const { verdict, authorizer: said } = await record(waypoint, isCut);
  assert.deepEqual([verdict, said?.answer], ["deny", "deny"]);
});
