/**
 * What reaches the application after tokens are verified, and what rules see then: real Envoy and the sidecar's own service, on the
 * same requests. `npm run test:real -- test/real/token-headers.test.ts`; needs Envoy (see docs/testing.md).
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { staticCluster } from "../../src/control/envoy/bootstrap.ts";
import type { EnvoyObject } from "../../src/control/envoy/envoy-object.ts";
import { httpConnectionManager } from "../../src/control/envoy/http-connection-manager.ts";
import { writeRequestHead } from "../../src/dataplane/codec/head-writer.ts";
import { parseRequestHead } from "../../src/dataplane/codec/http1-head.ts";
import { InboundService } from "../../src/dataplane/inbound-service.ts";
import { upstreamTarget } from "../../src/dataplane/upstream-target.ts";
import { findWorkload } from "../../src/model/build-mesh.ts";
import { compileInbound } from "../../src/policy/inbound.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { envoyBinary } from "../../tools/differential/envoy-process.ts";
import { type IssuerKey, issuerKey, jwksOf, tokenOf } from "../control/jwks/key-server.ts";
import { until } from "../control/until.ts";
import { authorization, connect as connection, meshOf, resource } from "../policy/inbound-fixture.ts";

const FIRST_PORT = 19_000;
const folder = mkdtempSync(join(tmpdir(), "token-headers-"));
const one = issuerKey("k1");
const two = issuerKey("k2");
/** Answers with the lines that it was sent. */
const application = createServer((request, response) =>
  response.end(JSON.stringify([request.url, request.rawHeaders])),
);
let envoy: ChildProcess;

before(async () => {
  await new Promise<void>((done) => application.listen(0, "127.0.0.1", done));
  const { port } = application.address() as AddressInfo;
  const config = {
    static_resources: {
      listeners: Object.entries(MESHES).map(([name, resources], index) =>
        listener(name, resources, FIRST_PORT + index),
      ),
      clusters: [staticCluster("application", { host: "127.0.0.1", port })],
    },
  };
  const file = join(folder, "envoy.json");
  writeFileSync(file, JSON.stringify(config));
  let said = "";
  envoy = spawn(envoyBinary(), [
    "-c",
    file,
    "--concurrency",
    "1",
    "--disable-hot-restart",
    "--log-level",
    "error",
  ]);
  envoy.stderr?.on("data", (chunk) => {
    said += String(chunk);
  });
  await until(async () => {
    assert.equal(envoy.exitCode, null, said);
    return await accepts(FIRST_PORT + Object.keys(MESHES).length - 1);
  });
});
after(() => {
  envoy.kill("SIGKILL");
  application.close();
  rmSync(folder, { recursive: true, force: true });
});

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

interface Seen {
  readonly status: number;
  readonly path?: string;
  /** Sorted lines, but for those that each proxy adds of its own. */
  readonly headers?: readonly string[];
}

const OWN =
  /^(x-request-id|x-forwarded-proto|x-envoy-.*|traceparent|connection|content-length|host|x-forwarded-client-cert):/;

function seen(status: number, path: string, raw: readonly string[]): Seen {
  const lines = raw.flatMap((name, at) => (at % 2 === 0 ? [`${name.toLowerCase()}: ${raw[at + 1]}`] : []));
  return { status, path, headers: lines.filter((line) => !OWN.test(line)).sort() };
}

function headText(path: string, method: string, headers: readonly (readonly [string, string])[]): string {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `${method} ${path} HTTP/1.1\r\nHost: app\r\n${lines}\r\n`;
}

function isWhole(answer: string): boolean {
  const end = answer.indexOf("\r\n\r\n");
  const length = Number(/^content-length: (\d+)/im.exec(answer.slice(0, Math.max(end, 0)))?.[1]);
  return end >= 0 && Buffer.byteLength(answer.slice(end + 4)) >= length;
}

async function byEnvoy(head: string, port: number): Promise<Seen> {
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () =>
      socket.write(head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"), "latin1"),
    );
    let got = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      got += chunk;
      // Envoy keeps a connection open for a second after its last answer.
      if (isWhole(got)) socket.destroy();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(got));
  });
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
  if (status !== 200) return { status };
  const [path, raw] = JSON.parse(answer.slice(answer.indexOf("["), answer.lastIndexOf("]") + 1)) as [
    string,
    string[],
  ];
  return seen(status, path, raw);
}

async function byUs(resources: readonly Resource[], head: string): Promise<Seen> {
  const mesh = meshOf(...resources);
  const workload = findWorkload(mesh, "foo/httpbin");
  assert.ok(workload !== undefined);
  const policy = compileInbound(mesh, workload, { semantics: "istio" });
  const peer = {
    connection: connection({ principal: null }),
    connectionId: "c",
    source: {},
    destination: {},
    reporter: "foo/httpbin",
    tls: undefined,
    http2: false,
    clientCertElement: undefined,
  };
  const target = upstreamTarget({
    host: "127.0.0.1",
    port: 1,
    localAddress: undefined,
    tls: undefined,
    protocol: "http1",
    cluster: "c",
  });
  const environment = {
    fetchJwks: () => Promise.reject(new Error("none")),
    nowSeconds: () => Date.now() / 1000,
  };
  const service = new InboundService(peer, () => policy, target, environment);
  const bytes = Buffer.from(head, "latin1");
  const parsed = parseRequestHead(bytes, 0, bytes.length);
  assert.ok(parsed.kind === "request");
  const action = await service.decide(parsed, { peekBody: () => Promise.resolve(null) });
  if (action.kind !== "forward") return { status: action.kind === "reply" ? action.status : 0 };
  const [line = "", ...lines] = writeRequestHead(parsed, action.edit).trimEnd().split("\r\n");
  const raw = lines.flatMap((text) => [
    text.slice(0, text.indexOf(":")),
    text.slice(text.indexOf(":") + 1).trim(),
  ]);
  return seen(200, line.split(" ")[1] ?? "", raw);
}

const rule = (issuer: string, key: IssuerKey, rest: Record<string, unknown> = {}) => ({
  issuer,
  jwks: jwksOf(key),
  ...rest,
});
const authentication = (...jwtRules: readonly unknown[]) =>
  resource("RequestAuthentication", "jwt", { jwtRules });

const CLAIMS = {
  sub: "alice",
  n: 7,
  f: 1.5,
  big: 12345678901234,
  t: true,
  l: ["a", "b"],
  o: { x: { y: "deep" } },
  "a.b": "dotted",
  e: "",
  s: "a b",
  u: "Zoë",
  nil: null,
  l2: ["a"],
  o2: { a: [true, null, 2.5, "é"] },
  empty: [],
  zero: 0,
  minus: -3,
  small: 0.000001,
  huge: 1e30,
  edge: " a ",
};
const OUTPUTS = [
  "sub",
  "n",
  "f",
  "big",
  "t",
  "l",
  "o",
  "o.x",
  "o.x.y",
  "a.b",
  "e",
  "s",
  "u",
  "nil",
  "l2",
  "o2",
  "empty",
  "zero",
  "minus",
  "small",
  "huge",
  "edge",
  "missing",
];
const allOutputs = OUTPUTS.map((claim) => ({ header: `x-${claim.replaceAll(".", "-")}`, claim }));
const SPOOFED = OUTPUTS.map((claim) => [`X-${claim.replaceAll(".", "-")}`, "spoofed"] as const);
const sub = [{ header: "x-sub", claim: "sub" }];

const MESHES: Readonly<Record<string, readonly Resource[]>> = {
  "claims and payload to headers": [
    authentication(
      rule("one", one, { outputClaimToHeaders: allOutputs, outputPayloadToHeader: "X-Payload" }),
    ),
  ],
  "token forwarded": [
    authentication(rule("one", one, { outputClaimToHeaders: sub, forwardOriginalToken: true })),
  ],
  "two issuers, each with its headers": [
    authentication(
      rule("one", one, {
        outputClaimToHeaders: [{ header: "x-one", claim: "sub" }],
        outputPayloadToHeader: "x-payload-one",
      }),
      rule("two", two, {
        outputClaimToHeaders: [{ header: "x-two", claim: "sub" }],
        outputPayloadToHeader: "x-payload-two",
      }),
    ),
  ],
  "a token is required": [
    authentication(rule("one", one, { outputClaimToHeaders: sub, presence: "REQUIRED" })),
  ],
  "tokens elsewhere": [
    authentication(
      rule("one", one, {
        outputClaimToHeaders: sub,
        fromHeaders: [{ name: "X-Token", prefix: "JWT " }],
        fromParams: ["tok"],
        fromCookies: ["session"],
      }),
    ),
  ],
  "a rule sees the headers that claims made": [
    authentication(rule("one", one, { outputClaimToHeaders: sub })),
    authorization("p", { rules: [{ when: [{ key: "request.headers[x-sub]", values: ["alice"] }] }] }),
  ],
  "a rule denies by the headers that claims made": [
    authentication(rule("one", one, { outputClaimToHeaders: sub })),
    authorization("p", {
      action: "DENY",
      rules: [{ when: [{ key: "request.headers[x-sub]", values: ["alice"] }] }],
    }),
  ],
  "a rule wants the token's own header": [
    authentication(rule("one", one)),
    authorization("p", { rules: [{ when: [{ key: "request.headers[authorization]", values: ["*"] }] }] }),
  ],
  "one header is an output and holds the token of another rule": [
    authentication(
      rule("one", one, { outputPayloadToHeader: "x-token" }),
      rule("two", two, { fromHeaders: [{ name: "x-token" }] }),
    ),
  ],
};

async function requests(): Promise<Readonly<Record<string, string>>> {
  const alice = await tokenOf(one, { iss: "one", ...CLAIMS });
  const bob = await tokenOf(two, { iss: "two", sub: "bob" });
  const bare = await tokenOf(one, { iss: "one" });
  const forged = await tokenOf({ ...two, kid: "k1" }, { iss: "one", sub: "alice" });
  const bearer = (token: string) => ["Authorization", `Bearer ${token}`] as const;
  const spoofed: readonly (readonly [string, string])[] = [
    ...SPOOFED,
    ["x-sub", "alice"],
    ["X-SUB", "alice"],
    ["x-payload", "e30"],
    ["x-one", "spoofed"],
    ["x-two", "spoofed"],
    ["x-payload-one", "spoofed"],
    ["x-payload-two", "spoofed"],
    ["x_sub", "other"],
    ["x-kept", "kept"],
  ];
  return {
    "no token": headText("/", "GET", []),
    "no token, spoofed": headText("/", "GET", spoofed),
    token: headText("/a?b=c", "GET", [bearer(alice)]),
    "token, spoofed": headText("/", "GET", [bearer(alice), ...spoofed]),
    "token without claims, spoofed": headText("/", "GET", [bearer(bare), ...spoofed]),
    "the other issuer's token, spoofed": headText("/", "GET", [bearer(bob), ...spoofed]),
    "forged, spoofed": headText("/", "GET", [bearer(forged), ...spoofed]),
    "basic, spoofed": headText("/", "GET", [["Authorization", "Basic eDp5"], ...spoofed]),
    "preflight, spoofed": headText("/", "OPTIONS", [
      ["Origin", "https://a"],
      ["Access-Control-Request-Method", "GET"],
      ...spoofed,
    ]),
    "in a parameter": headText(`/?tok=${alice}&b=c`, "GET", [["x-sub", "mallory"]]),
    "in a cookie": headText("/", "GET", [
      ["Cookie", `a=b; session=${alice}`],
      ["x-sub", "mallory"],
    ]),
    "in a header of its own": headText("/", "GET", [
      ["x-token", `JWT ${alice}`],
      ["x-sub", "mallory"],
    ]),
    "in a header of its own, without prefix": headText("/", "GET", [
      ["x-token", bob],
      ["x-sub", "mallory"],
    ]),
    "in two places, one bad": headText(`/?tok=${forged}`, "GET", [["x-token", `JWT ${alice}`]]),
    "in the default parameter": headText(`/?access_token=${alice}`, "GET", [["x-sub", "mallory"]]),
  };
}

function listener(name: string, resources: readonly Resource[], port: number): EnvoyObject {
  const mesh = meshOf(...resources);
  const workload = findWorkload(mesh, "foo/httpbin");
  assert.ok(workload !== undefined);
  const filters = [httpConnectionManager(mesh, workload, { cluster: "application" })];
  const address = { socket_address: { address: "127.0.0.1", port_value: port } };
  return { name, address, filter_chains: [{ filters }] };
}

for (const [index, [name, resources]] of Object.entries(MESHES).entries()) {
  test(`${name}: the same status, path and headers as Envoy's`, async () => {
    const differences: unknown[] = [];
    for (const [what, head] of Object.entries(await requests())) {
      const expected = await byEnvoy(head, FIRST_PORT + index);
      const got = await byUs(resources, head);
      try {
        assert.deepEqual(got, expected);
      } catch {
        differences.push({ what, got, expected });
      }
    }
    assert.deepEqual(differences, []);
  });
}
