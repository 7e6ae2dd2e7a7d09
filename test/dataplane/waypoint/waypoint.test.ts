/** What a waypoint does with what comes out of its tunnels: whom it serves, who passes, where it goes, and what is written down. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { FlowDraft } from "../../../src/model/flow-record.ts";
import { destinationText, resourceText, routeText } from "../../policy/path/journey-text.ts";
import {
  CLASS_REF,
  GATEWAY_REF,
  shopText,
  targetedText,
  USES,
  waypointPodText,
  waypointText,
} from "../../policy/waypoint/waypoint-mesh.ts";
import { until } from "../until.ts";
import { type RunningWaypoint, requestIn, startWaypoint } from "./waypoint-fixture.ts";

const CLIENT = "spiffe://cluster.local/ns/m/sa/c";
const STRANGER = "spiffe://cluster.local/ns/m/sa/x";
const FROM = "10.1.0.1";
const HTTP = "10.96.0.1:80";
const TCP = "10.96.0.1:9000";
const AUTO = "10.96.0.1:90";

const get = (principal: string) => ({
  action: "ALLOW",
  rules: [
    {
      from: [{ source: { principals: [principal] } }],
      to: [{ operation: { methods: ["GET"], ports: ["80", "90", "8080"] } }],
    },
  ],
});
const P = "AuthorizationPolicy m/p";
const CLIENT_MAY_GET = targetedText(get("cluster.local/ns/m/sa/c"));

/** Of what the waypoint decided, not of its clients' handshakes. */
async function record(waypoint: RunningWaypoint, which: (flow: FlowDraft) => boolean): Promise<FlowDraft> {
  await until(() => waypoint.flows.some(which), "the record");
  return waypoint.flows.find(which) as FlowDraft;
}

const isRequest = ({ kind }: FlowDraft): boolean => kind === "request";
const isConnection = ({ kind }: FlowDraft): boolean => kind === "connection";

test("a permitted request goes to the service's pod, with the waypoint's own identity, and is on record as the client's", async (context) => {
  const waypoint = await startWaypoint(context, shopText(USES, CLIENT_MAY_GET), { net: 183 });
  const tunnel = await waypoint.open(CLIENT, FROM, HTTP);
  assert.equal(tunnel.status, 200);
  const answer = await requestIn(tunnel, "GET", "/a");
  assert.equal(answer.status, 200);
  assert.equal(answer.body, "m/s");
  const [arrived] = waypoint.tunnels;
  assert.equal(arrived?.peer, "URI:spiffe://cluster.local/ns/m/sa/wp");
  assert.equal(arrived?.authority, "127.183.0.2:8080");
  const flow = await record(waypoint, isRequest);
  const { reporter, direction, verdict, layer, policy, rule, status, method, path } = flow;
  assert.deepEqual(
    { reporter, direction, verdict, layer, policy, rule, status, method, path },
    {
      reporter: "m/wp",
      direction: "inbound",
      verdict: "allow",
      layer: "authorization",
      policy: P,
      rule: 0,
      status: 200,
      method: "GET",
      path: "/a",
    },
  );
  const { principal, workload, ip } = flow.source ?? {};
  assert.deepEqual(
    { principal, workload, ip },
    { principal: CLIENT.slice(9), workload: "m/c", ip: "127.183.0.1" },
  );
  assert.deepEqual(flow.destination, {
    service: "s.m.svc.cluster.local",
    ip: "10.96.0.1",
    port: 80,
    host: "s.m",
  });
  assert.equal(flow.upstream?.cluster, "inbound-vip|80|http|s.m.svc.cluster.local");
});

test("another method, and another client, are refused with the policy's name", async (context) => {
  const waypoint = await startWaypoint(context, shopText(USES, CLIENT_MAY_GET), { net: 183 });
  const post = await requestIn(await waypoint.open(CLIENT, FROM, HTTP), "POST", "/a", { body: "" });
  assert.deepEqual([post.status, post.body], [403, "RBAC: access denied"]);
  const other = await requestIn(await waypoint.open(STRANGER, FROM, HTTP), "GET", "/a");
  assert.equal(other.status, 403);
  assert.equal(waypoint.tunnels.length, 0);
  const denials = waypoint.flows.filter(({ verdict }) => verdict === "deny");
  assert.deepEqual(
    denials.map(({ source, layer, reason, policy }) => [source?.principal, layer, reason, policy]),
    [
      [CLIENT.slice(9), "authorization", "no-allow-matched", null],
      [STRANGER.slice(9), "authorization", "no-allow-matched", null],
    ],
  );
});

test("several requests on one tunnel are decided one by one", async (context) => {
  const waypoint = await startWaypoint(context, shopText(USES, CLIENT_MAY_GET), { net: 183 });
  const tunnel = await waypoint.open(CLIENT, FROM, HTTP);
  const statuses: number[] = [];
  for (const method of ["GET", "DELETE", "GET"])
    statuses.push((await requestIn(tunnel, method, "/a")).status);
  assert.deepEqual(statuses, [200, 403, 200]);
});

test("an address that is not the waypoint's to serve is refused unopened, and on record", async (context) => {
  const waypoint = await startWaypoint(context, shopText(), { net: 183 });
  for (const authority of ["10.96.0.9:80", "10.1.0.2:8080", "127.0.0.1:80", "[fd00::1]:80"]) {
    waypoint.flows.length = 0;
    assert.equal((await waypoint.open(CLIENT, FROM, authority)).status, 404, authority);
    const { verdict, layer, reason, source } = await record(waypoint, isConnection);
    assert.deepEqual(
      [verdict, layer, reason, source?.principal],
      ["deny", "route", "not-served", CLIENT.slice(9)],
    );
  }
  assert.equal(waypoint.tunnels.length, 0);
});

test("a port that the service does not declare is refused unopened", async (context) => {
  const waypoint = await startWaypoint(context, shopText(), { net: 183 });
  assert.equal((await waypoint.open(CLIENT, FROM, "10.96.0.1:8080")).status, 404);
  const { layer, reason, destination } = await record(waypoint, isConnection);
  assert.deepEqual([layer, reason, destination?.service], ["transport", "no-chain", "s.m.svc.cluster.local"]);
});

test("bytes go through, half-closed and all, and are on record when they end", async (context) => {
  const waypoint = await startWaypoint(context, shopText(), { net: 183 });
  const { status, stream } = await waypoint.open(CLIENT, FROM, TCP);
  assert.equal(status, 200);
  const got: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => got.push(chunk));
  stream.end("bytes");
  const { verdict, bytesSent, bytesReceived, upstream } = await record(waypoint, isConnection);
  await until(() => Buffer.concat(got).toString() === "bytes", "the echo");
  assert.deepEqual(
    [verdict, bytesSent, bytesReceived, upstream?.cluster],
    ["allow", 5, 5, "inbound-vip|9000|tcp|s.m.svc.cluster.local"],
  );
  assert.equal(waypoint.tunnels[0]?.authority, "127.183.0.2:9000");
});

test("bytes that a policy forbids are refused unopened", async (context) => {
  const deny = targetedText({ action: "DENY", rules: [{ to: [{ operation: { ports: ["9000"] } }] }] });
  const waypoint = await startWaypoint(context, shopText(USES, deny), { net: 183 });
  assert.equal((await waypoint.open(CLIENT, FROM, TCP)).status, 403);
  const { verdict, layer, policy, rule } = await record(waypoint, isConnection);
  assert.deepEqual([verdict, layer, policy, rule], ["deny", "authorization", P, 0]);
});

test("a port of no declared protocol is HTTP by its first bytes, and bytes otherwise", async (context) => {
  const waypoint = await startWaypoint(context, shopText(USES, CLIENT_MAY_GET), { net: 183 });
  const http = await requestIn(await waypoint.open(CLIENT, FROM, AUTO), "POST", "/a", { body: "" });
  assert.equal(http.status, 403);
  assert.equal((await requestIn(await waypoint.open(CLIENT, FROM, AUTO), "GET", "/a")).status, 200);
  const { stream } = await waypoint.open(CLIENT, FROM, AUTO);
  stream.write("\x01\x02 is no HTTP");
  await until(() => stream.destroyed, "the end of what is no HTTP");
  const { layer, reason } = await record(waypoint, isConnection);
  // The rule has HTTP attributes: as bytes it lets nobody pass.
  assert.deepEqual([layer, reason], ["authorization", "no-allow-matched"]);
});

test("a workload's own address: the Gateway's policies hold, the Service's do not; any port", async (context) => {
  const all = waypointText({ labels: { "istio.io/waypoint-for": "all" } });
  const denied = targetedText(
    { action: "DENY", rules: [{ to: [{ operation: { paths: ["/secret"], ports: ["8081"] } }] }] },
    { name: "g", refs: [GATEWAY_REF] },
  );
  const onService = targetedText({ action: "DENY", rules: [{}] });
  const yaml = shopText(USES, denied + onService).replace(waypointText(), all);
  const waypoint = await startWaypoint(context, yaml, { net: 183 });
  const open = () => waypoint.open(CLIENT, FROM, "10.1.0.2:8081");
  assert.equal((await requestIn(await open(), "GET", "/a")).status, 200);
  assert.equal((await requestIn(await open(), "GET", "/secret")).status, 403);
  assert.equal(waypoint.tunnels[0]?.authority, "127.183.0.2:8081");
  const byService = await requestIn(await waypoint.open(CLIENT, FROM, HTTP), "GET", "/a");
  assert.equal(byService.status, 403);
  const { stream } = await waypoint.open(CLIENT, FROM, "10.1.0.2:9000");
  stream.end("bytes");
  stream.resume();
  const { verdict, destination } = await record(waypoint, isConnection);
  assert.deepEqual([verdict, destination?.workload], ["allow", "m/s"]);
});

test("a pod that takes no HBONE is not reached by its own address", async (context) => {
  const bare = resourceText("v1", "Pod", "m", "none", {}, { app: "none" })
    .replace('"spec":{}', '"spec":{"serviceAccountName":"none","hostNetwork":false,"containers":[]}')
    .replace('"labels":{"app":"none"}', '"labels":{"app":"none","istio.io/dataplane-mode":"none"}');
  const yaml = shopText(USES, `${bare.trimEnd().slice(0, -1)},"status":{"podIP":"10.1.0.7"}}\n`).replace(
    waypointText(),
    waypointText({ labels: { "istio.io/waypoint-for": "workload" } }),
  );
  const waypoint = await startWaypoint(context, yaml, { net: 183 });
  assert.equal((await requestIn(await waypoint.open(CLIENT, FROM, "10.1.0.7:80"), "GET", "/")).status, 503);
  const { verdict, reason, layer } = await record(waypoint, isRequest);
  assert.deepEqual([verdict, layer, reason], ["deny", "route", "no-hbone"]);
});

test("X-Forwarded-Client-Cert: the client's own is removed; the waypoint's is set where its pods are annotated so", async (context) => {
  const claim = { headers: ["x-forwarded-client-cert: URI=spiffe://forged", "x-forwarded-for: 192.0.2.1"] };
  const waypoint = await startWaypoint(context, shopText(), { net: 183 });
  await requestIn(await waypoint.open(CLIENT, FROM, HTTP), "GET", "/silent", claim);
  const telling = waypointPodText().replace(
    '"namespace":"m","labels"',
    '"namespace":"m","annotations":{"ambient.istio.io/xfcc-include-client-identity":"true"},"labels"',
  );
  await waypoint.apply(shopText().replace(waypointPodText(), telling));
  await requestIn(await waypoint.open(CLIENT, FROM, HTTP), "GET", "/told", claim);
  const header = (path: string, name: string) =>
    waypoint.requests.find((seen) => seen.path === path)?.headers[name];
  assert.equal(header("/silent", "x-forwarded-client-cert"), undefined);
  assert.equal(
    header("/told", "x-forwarded-client-cert"),
    `By=spiffe://cluster.local/ns/m/sa/wp;URI=${CLIENT}`,
  );
  assert.equal(header("/silent", "x-forwarded-for"), "192.0.2.1");
});

test("routes of the service are followed: header changes, redirects, rewrites, weights of nothing", async (context) => {
  const route = routeText("m", "s", {
    hosts: ["s.m.svc.cluster.local"],
    http: [
      { match: [{ uri: { exact: "/old" } }], redirect: { uri: "/new", redirectCode: 302 } },
      {
        match: [{ uri: { prefix: "/api" } }],
        rewrite: { uri: "/v1" },
        headers: { request: { set: { "x-set": "1" } }, response: { add: { "x-answer": "2" } } },
        route: [{ destination: { host: "s" } }],
      },
      { match: [{ uri: { exact: "/gone" } }], route: [{ destination: { host: "nobody" } }] },
      { match: [{ uri: { exact: "/teapot" } }], directResponse: { status: 418, body: { string: "tea" } } },
    ],
  });
  const waypoint = await startWaypoint(context, shopText(USES, route), { net: 183 });
  const tunnel = await waypoint.open(CLIENT, FROM, HTTP);
  const redirect = await requestIn(tunnel, "GET", "/old");
  assert.equal(redirect.status, 302);
  assert.match(redirect.head, /^location: http:\/\/s\.m\/new$/im);
  const rewritten = await requestIn(tunnel, "GET", "/api/x");
  assert.equal(rewritten.status, 200);
  assert.match(rewritten.head, /^x-answer: 2$/im);
  const [seen] = waypoint.requests;
  assert.deepEqual([seen?.path, seen?.headers["x-set"]], ["/v1/x", "1"]);
  assert.equal((await requestIn(tunnel, "GET", "/gone")).status, 503);
  assert.deepEqual(
    [(await requestIn(tunnel, "GET", "/teapot")).status, (await requestIn(tunnel, "GET", "/else")).status],
    [418, 404],
  );
  const told = waypoint.flows.filter(isRequest).map(({ verdict, layer, reason }) => [verdict, layer, reason]);
  assert.deepEqual(
    told.map(([, , reason]) => reason),
    ["redirect", "no-allow-policies", "no-cluster", "direct-response", "no-route"],
  );
});

test("retries, a mirror and a time-out of a route are carried out through HBONE", async (context) => {
  const other = [
    resourceText("v1", "Service", "m", "copy", {
      clusterIP: "10.96.0.2",
      selector: { app: "c" },
      ports: [{ name: "http", port: 80, targetPort: 8080 }],
    }),
    routeText("m", "s", {
      hosts: ["s.m.svc.cluster.local"],
      http: [
        {
          match: [{ uri: { exact: "/retried" } }],
          retries: { attempts: 2, retryOn: "5xx" },
          route: [{ destination: { host: "s" } }],
        },
        {
          match: [{ uri: { exact: "/mirrored" } }],
          mirror: { host: "copy" },
          route: [{ destination: { host: "s" } }],
        },
        { match: [{ uri: { exact: "/slow" } }], timeout: "0.3s", route: [{ destination: { host: "s" } }] },
      ],
    }),
  ].join("");
  let tries = 0;
  const waypoint = await startWaypoint(context, shopText(USES, other), {
    net: 183,
    answer: ({ path }) => {
      if (path === "/slow") return "hang";
      if (path !== "/retried") return { status: 200 };
      tries += 1;
      return { status: tries < 3 ? 503 : 200 };
    },
  });
  const tunnel = await waypoint.open(CLIENT, FROM, HTTP);
  assert.equal((await requestIn(tunnel, "GET", "/retried")).status, 200);
  assert.equal(tries, 3);
  assert.equal((await requestIn(tunnel, "GET", "/mirrored")).status, 200);
  await until(() => waypoint.requests.some(({ pod }) => pod === "m/c"), "the copy");
  assert.equal((await requestIn(tunnel, "GET", "/slow")).status, 504);
  assert.ok(waypoint.tunnels.every(({ peer }) => peer === "URI:spiffe://cluster.local/ns/m/sa/wp"));
});

test("HTTP/2 inside a tunnel is served, and carried over to a server of HTTP/1.1", async (context) => {
  const { connect } = await import("node:http2");
  const waypoint = await startWaypoint(context, shopText(USES, CLIENT_MAY_GET), { net: 183 });
  const { stream } = await waypoint.open(CLIENT, FROM, HTTP);
  const session = connect("http://s.m", { createConnection: () => stream });
  context.after(() => session.destroy());
  const status = (method: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const request = session.request({ ":method": method, ":path": "/a" });
      request
        .on("response", (headers) => resolve(Number(headers[":status"])))
        .on("error", reject)
        .resume();
      request.end();
    });
  assert.deepEqual([await status("GET"), await status("PUT")], [200, 403]);
  assert.equal(waypoint.requests.length, 1);
});

test("of TLS inside a tunnel the server name counts, on ports that are declared as TLS", async (context) => {
  const deny = targetedText({
    action: "DENY",
    rules: [{ when: [{ key: "connection.sni", values: ["secret.example"] }] }],
  });
  const { connect } = await import("node:tls");
  const waypoint = await startWaypoint(context, shopText(USES, deny), { net: 183 });
  const hello = async (servername: string): Promise<string | undefined> => {
    waypoint.flows.length = 0;
    const { stream } = await waypoint.open(CLIENT, FROM, "10.96.0.1:443");
    const tls = connect({ socket: stream, servername, rejectUnauthorized: false });
    tls.on("error", () => {});
    const { verdict, sni } = await record(waypoint, isConnection);
    assert.equal(sni, servername);
    return verdict;
  };
  assert.equal(await hello("secret.example"), "deny");
  // Nothing serves 8443 behind it: allowed by policy, and then in vain.
  assert.notEqual(await hello("open.example"), "deny");
});

test("policies of the class of waypoints hold for every service", async (context) => {
  const deny = targetedText(
    { action: "DENY", rules: [{ to: [{ operation: { paths: ["/admin"] } }] }] },
    { namespace: "istio-system", refs: [CLASS_REF] },
  );
  const waypoint = await startWaypoint(context, shopText(USES, deny), { net: 183 });
  const tunnel = await waypoint.open(CLIENT, FROM, HTTP);
  assert.equal((await requestIn(tunnel, "GET", "/admin")).status, 403);
  assert.equal((await requestIn(tunnel, "GET", "/a")).status, 200);
});

test("a pod that shows another identity than its own is sent nothing", async (context) => {
  const waypoint = await startWaypoint(context, shopText(), {
    net: 183,
    impostors: { "m/s": "spiffe://cluster.local/ns/m/sa/thief" },
  });
  const answer = await requestIn(await waypoint.open(CLIENT, FROM, HTTP), "GET", "/a");
  assert.equal(answer.status, 503);
  const { verdict, layer, reason } = await record(waypoint, isRequest);
  assert.deepEqual([verdict, layer, reason], ["error", "upstream", "BW_UPSTREAM_IMPOSTOR"]);
  assert.deepEqual([waypoint.tunnels.length, waypoint.requests.length], [0, 0]);
});

test("nor is one that is asked for by its own address", async (context) => {
  const all = waypointText({ labels: { "istio.io/waypoint-for": "workload" } });
  const waypoint = await startWaypoint(context, shopText().replace(waypointText(), all), {
    net: 183,
    impostors: { "m/s": "spiffe://cluster.local/ns/m/sa/thief" },
  });
  const answer = await requestIn(await waypoint.open(CLIENT, FROM, "10.1.0.2:8080"), "GET", "/a");
  assert.equal(answer.status, 503);
  const { stream } = await waypoint.open(CLIENT, FROM, "10.1.0.2:9000");
  stream.resume().end("bytes");
  const { verdict, reason } = await record(waypoint, isConnection);
  assert.deepEqual([verdict, reason], ["error", "BW_UPSTREAM_IMPOSTOR"]);
  assert.deepEqual([waypoint.tunnels.length, waypoint.requests.length], [0, 0]);
});

test("what can cannot tell of a waypoint is not served: a share of the traffic that a canary has", async (context) => {
  const yaml = shopText({ ...USES, "istio.io/use-waypoint-canary": "other" });
  const waypoint = await startWaypoint(context, yaml, { net: 183 });
  assert.equal((await waypoint.open(CLIENT, FROM, HTTP)).status, 404);
});

test("a cluster that leaves the address to the client leads nowhere: the Host header chooses none", async (context) => {
  const passthrough = destinationText("m", "s", {
    host: "s.m.svc.cluster.local",
    trafficPolicy: { loadBalancer: { simple: "PASSTHROUGH" } },
  });
  const waypoint = await startWaypoint(context, shopText(USES, passthrough), { net: 183 });
  const tunnel = await waypoint.open(CLIENT, FROM, HTTP);
  const answer = await requestIn(tunnel, "GET", "/a", { host: "127.0.0.1:8080" });
  assert.equal(answer.status, 503);
  const { verdict, layer, reason } = await record(waypoint, isRequest);
  assert.deepEqual([verdict, layer, reason], ["deny", "route", "no-healthy-upstream"]);
});
