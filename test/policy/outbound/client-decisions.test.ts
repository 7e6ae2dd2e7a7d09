/** What a client's sidecar decides, whole, for each kind of first bytes. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compileOutbound } from "../../../src/policy/outbound/compile-outbound.ts";
import type {
  DialedDestination,
  OutboundDecision,
  OutboundPolicy,
} from "../../../src/policy/outbound/types.ts";
import { app, meshOf, workloadOf } from "./mesh-of.ts";

const networking = (kind: string, namespace: string, spec: string, name = "n"): string => `
apiVersion: networking.istio.io/v1
kind: ${kind}
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
---
`;
const HEADLESS = `
apiVersion: v1
kind: Service
metadata: {name: pods, namespace: foo}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: tcp-raw, port: 9000}, {name: http, port: 80}]}
---
`;

function policyOf(yaml = ""): OutboundPolicy {
  const mesh = meshOf(app("foo", "web") + app("bar", "client") + yaml);
  return compileOutbound(mesh, workloadOf(mesh, "bar/client"));
}

const http = (
  policy: OutboundPolicy,
  dialled: DialedDestination,
  authority = dialled.host ?? "h",
): OutboundDecision => policy.routeHttp({ ...dialled, authority, method: "GET", path: "/", headers: [] });

const NOBODY = { resource: null, section: "default", route: null } as const;

/** A decision without its clusters: their names stand for them. */
function facts(decision: OutboundDecision): unknown {
  if (decision.kind !== "forward") return decision;
  const { targets, dialled, http: _plan, ...rest } = decision;
  return {
    ...rest,
    targets: targets.map(({ name }) => name),
    ...("dialled" in decision ? { dialled: dialled?.hostname } : {}),
  };
}

const sent = (code: number, listener: string, ...targets: string[]): object => ({
  kind: "forward",
  allowed: true,
  code,
  reason: "ok",
  by: NOBODY,
  listener,
  targets,
  weighted: false,
});
const passed = (code: number, listener: string): object => ({
  ...sent(code, listener),
  reason: "passthrough",
});

describe("what no listener takes", () => {
  const policy = policyOf();
  const nowhere = { ip: "10.0.0.9", port: 4444 };

  test("passes as what it is, and is nobody's", () => {
    assert.deepEqual(facts(http(policy, nowhere)), passed(200, "virtualOutbound"));
    assert.deepEqual(facts(policy.routeTls({ ...nowhere, sni: "x.example" })), passed(0, "virtualOutbound"));
    assert.deepEqual(facts(policy.routeTcp(nowhere)), passed(0, "virtualOutbound"));
  });

  test("is TCP, and waits for no server name as far as is known", () => {
    assert.deepEqual([policy.listenerProtocol(nowhere), policy.readsServerName(nowhere)], ["tcp", undefined]);
  });

  test("says whose it was where a service was dialled", () => {
    const dialled = { dialled: "web.foo.svc.cluster.local" };
    const port = { host: "web.foo", port: 4444 };
    assert.deepEqual(facts(policy.routeTcp(port)), { ...passed(0, "virtualOutbound"), ...dialled });
    assert.deepEqual(facts(http(policy, { host: "web.foo", port: 80 }, "other.example")), {
      ...passed(200, "0.0.0.0_80"),
      ...dialled,
    });
    assert.deepEqual(
      facts(http(policy, { host: "x.example", port: 80 }, "other.example")),
      passed(200, "0.0.0.0_80"),
    );
  });
});

describe("what a listener takes", () => {
  const entry = networking(
    "ServiceEntry",
    "foo",
    "{hosts: [e.example], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}",
  );
  const policy = policyOf(entry);
  const web = { host: "web.foo", port: 9000 };
  const WEB = "outbound|9000||web.foo.svc.cluster.local";
  const RAW = "vip:web.foo.svc.cluster.local_9000";

  test("as TCP has a status only where it speaks HTTP", () => {
    assert.deepEqual(facts(http(policy, web)), sent(200, RAW, WEB));
    assert.deepEqual(facts(policy.routeTls({ ...web, sni: "x.example" })), sent(0, RAW, WEB));
    assert.deepEqual(facts(policy.routeTcp(web)), sent(0, RAW, WEB));
    assert.deepEqual([policy.listenerProtocol(web), policy.readsServerName(web)], ["tcp", false]);
  });

  test("by server name goes by it", () => {
    const dialled = { host: "e.example", port: 443 };
    assert.deepEqual(
      facts(policy.routeTls({ ...dialled, sni: "e.example" })),
      sent(0, "0.0.0.0_443", "outbound|443||e.example"),
    );
    assert.deepEqual(facts(policy.routeTls(dialled)), { ...passed(0, "0.0.0.0_443"), dialled: "e.example" });
    assert.deepEqual([policy.listenerProtocol(dialled), policy.readsServerName(dialled)], ["tcp", true]);
  });

  test("by Host goes by it", () => {
    const dialled = { host: "web.foo", port: 80 };
    const listener = "0.0.0.0_80 web.foo.svc.cluster.local:80";
    assert.deepEqual(
      facts(http(policy, dialled)),
      sent(200, listener, "outbound|80||web.foo.svc.cluster.local"),
    );
    assert.deepEqual([policy.listenerProtocol(dialled), policy.readsServerName(dialled)], ["auto", false]);
  });

  test("as HTTP alone is closed for anything else", () => {
    const sidecar = networking(
      "Sidecar",
      "bar",
      "{egress: [{port: {number: 80, protocol: HTTP, name: h}, bind: 127.0.0.1, hosts: ['*/*']}]}",
    );
    const narrow = policyOf(sidecar);
    const dialled = { ip: "127.0.0.1", port: 80 };
    const closed = {
      kind: "refuse",
      allowed: false,
      code: 0,
      reason: "no-route",
      by: NOBODY,
      listener: "127.0.0.1_80",
    };
    assert.equal(narrow.listenerProtocol(dialled), "http");
    assert.deepEqual(facts(narrow.routeTcp(dialled)), closed);
    assert.deepEqual(facts(narrow.routeTls({ ...dialled, sni: "x" })), closed);
  });
});

describe("the service that was dialled", () => {
  const POD = "outbound|9000||pods.foo.svc.cluster.local";

  test("is told where the client's own choice of endpoint is followed", () => {
    const policy = policyOf(HEADLESS);
    assert.deepEqual(facts(policy.routeTcp({ host: "pods.foo", port: 9000 })), {
      ...sent(0, "vip:pods.foo.svc.cluster.local_9000", POD),
      dialled: "pods.foo.svc.cluster.local",
    });
  });

  test("is told as soon as one of several choices follows it, and where none does it is not", () => {
    const to = (...hosts: string[]): unknown => {
      const routes = hosts.map((host) => `{destination: {host: ${host}, port: {number: 9000}}, weight: 1}`);
      const split = networking(
        "VirtualService",
        "foo",
        `{hosts: [web], tcp: [{route: [${routes.join(", ")}]}]}`,
      );
      const decision = policyOf(HEADLESS + split).routeTcp({ host: "web.foo", port: 9000 });
      return decision.kind === "forward" ? decision.dialled?.hostname : decision.reason;
    };
    assert.equal(to("web", "pods"), "web.foo.svc.cluster.local");
    assert.equal(to("absent", "pods"), "web.foo.svc.cluster.local");
    assert.equal(to("web", "web"), undefined);
  });
});
