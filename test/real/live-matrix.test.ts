/**
 * The payroll and egress scenarios from outside: `bulwark call`, curl and raw TLS with certificates made by hand. Of each request
 * three tell the same: what the client saw, the record in the flow log, and `bulwark can` on the same files.
 */
import assert from "node:assert/strict";
import { connect as connectTcp, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { FlowRecord } from "../../src/model/flow-record.ts";
import { bulwark } from "../cli/run-bulwark.ts";
import { type HandMade, HandSigner, writeCredentials } from "./hand-signer.ts";
import { LiveMesh, until, withTimeout } from "./live-mesh.ts";
import { program, run } from "./programs.ts";

const PAYROLL_FILES = "../shared/scenarios/payroll";
const EGRESS_FILES = "../shared/scenarios/egress";
const AUDITOR = "finance/account-auditor";
const GATEWAY = "istio-egress/istio-egressgateway";
const ANSWER_MS = 15_000;

/** What the record of the deciding proxy says; `can` says the same. */
interface Expected {
  readonly by: string;
  readonly layer: string;
  readonly reason: string;
  readonly policy: string | null;
}

interface Case {
  readonly name: string;
  /** The HTTP status that the client gets, or `nothing`: no byte of an answer. */
  readonly outcome: number | "nothing";
  readonly live: () => Promise<number | "nothing">;
  readonly expected: Expected;
  /** Arguments of `bulwark can`; absent where its questions have no word for the case. */
  readonly can?: readonly string[];
  /** A handshake that fails is recorded with TLS's own word, too, which tells more than the decision's. */
  readonly recordedCode?: RegExp;
}

let payroll: LiveMesh;
let egress: LiveMesh;
let payrollSigner: HandSigner;
let egressSigner: HandSigner;
let rogue: HandSigner;

before(async () => {
  [payroll, egress] = await Promise.all([
    LiveMesh.up([PAYROLL_FILES]),
    LiveMesh.up([EGRESS_FILES, "--simulate-external"]),
  ]);
  payrollSigner = await HandSigner.ofMesh(payroll.state.caFolder);
  egressSigner = await HandSigner.ofMesh(egress.state.caFolder);
  rogue = await HandSigner.rogue(payrollSigner);
});
after(async () => {
  await payroll?.dispose();
  await egress?.dispose();
});

const spiffe = (namespace: string, account: string) => `spiffe://cluster.local/ns/${namespace}/sa/${account}`;

// What decides, in the words that records and `can` share.
const READS: Expected = {
  by: "finance/payroll",
  layer: "authorization",
  reason: "allow-matched",
  policy: "AuthorizationPolicy finance/auditor-reads-accounts",
};
const NO_RULE: Expected = {
  by: "finance/payroll",
  layer: "authorization",
  reason: "no-allow-matched",
  policy: null,
};
const STRICT: Expected = {
  by: "finance/payroll",
  layer: "transport",
  reason: "no-chain",
  policy: "PeerAuthentication istio-system/default",
};
const UNTRUSTED: Expected = { ...STRICT, reason: "untrusted-certificate" };
const FOREIGN = "another trust domain";
const CAN_FOREIGN = [
  "--principal",
  "evil.example/ns/finance/sa/account-auditor",
  "--to",
  "finance/payroll:8080",
  "GET",
  "/accounts/7",
];
const CAN_ROGUE = ["--tls", "rogue", "--to", "finance/payroll:8080", "GET", "/accounts/7"];

function called(mesh: () => LiveMesh, from: string, url: string, ...args: readonly string[]): Case["live"] {
  return async () => {
    const { answer } = await mesh().call(from, url, ...args);
    return answer.status > 0 ? answer.status : answer.body === "" ? "nothing" : 200;
  };
}

/** curl, straight to payroll's sidecar, past the sidecar of the workload whose name is on the certificate. */
function curled(
  made: HandMade,
  signer: () => HandSigner,
  path: string,
  ...args: readonly string[]
): Case["live"] {
  return async () => {
    const { key, chain } = writeCredentials(payroll.folder, "curl", await signer().issue(made));
    return await curl(
      `https://${payroll.pod("finance/payroll-0").address}:8080${path}`,
      "--cert",
      chain,
      "--key",
      key,
      ...args,
    );
  };
}

async function curl(url: string, ...args: readonly string[]): Promise<number | "nothing"> {
  const own = [
    "--silent",
    "--insecure",
    "--max-time",
    "15",
    "--write-out",
    "%{http_code}",
    "--output",
    "/dev/null",
  ];
  const { stdout } = await run(program("curl"), [...own, "-H", "host: payroll.finance", ...args, url]);
  assert.match(stdout, /^\d{3}$/);
  return stdout === "000" ? "nothing" : Number(stdout);
}

const ofMesh = () => payrollSigner;
const auditor: HandMade = { uris: [spiffe("finance", "account-auditor")] };
const asAuditor = [
  "--principal",
  "cluster.local/ns/finance/sa/account-auditor",
  "--to",
  "finance/payroll:8080",
];

const PAYROLL: readonly Case[] = [
  {
    name: "call: account-auditor GET /accounts/7",
    outcome: 200,
    live: called(() => payroll, AUDITOR, "http://payroll.finance/accounts/7"),
    expected: READS,
    can: [AUDITOR, "GET", "http://payroll.finance/accounts/7"],
  },
  {
    name: "call: account-auditor POST /accounts/7",
    outcome: 403,
    live: called(() => payroll, AUDITOR, "http://payroll.finance/accounts/7", "-d", "{}"),
    expected: NO_RULE,
    can: [AUDITOR, "POST", "http://payroll.finance/accounts/7"],
  },
  {
    name: "call: account-auditor GET /salaries",
    outcome: 403,
    live: called(() => payroll, AUDITOR, "http://payroll.finance/salaries"),
    expected: NO_RULE,
    can: [AUDITOR, "GET", "http://payroll.finance/salaries"],
  },
  {
    name: "call: intranet GET /accounts/7",
    outcome: 403,
    live: called(() => payroll, "finance/intranet", "http://payroll.finance/accounts/7"),
    expected: NO_RULE,
    can: ["finance/intranet", "GET", "http://payroll.finance/accounts/7"],
  },
  {
    name: "call: account-auditor TCP 9000",
    outcome: "nothing",
    live: called(() => payroll, AUDITOR, "tcp://payroll.finance:9000", "-d", "hello"),
    expected: NO_RULE,
    can: [AUDITOR, "--to", "payroll.finance:9000", "--protocol", "tcp"],
  },
  {
    name: "curl, auditor's certificate: GET /accounts/7",
    outcome: 200,
    live: curled(auditor, ofMesh, "/accounts/7", "--http1.1"),
    expected: READS,
    can: [...asAuditor, "GET", "/accounts/7"],
  },
  {
    name: "curl, auditor's certificate, HTTP/2: GET /accounts/7",
    outcome: 200,
    live: curled(auditor, ofMesh, "/accounts/7", "--http2"),
    expected: READS,
    can: [...asAuditor, "GET", "/accounts/7"],
  },
  {
    name: "curl, auditor's certificate: POST /accounts/7",
    outcome: 403,
    live: curled(auditor, ofMesh, "/accounts/7", "-d", "{}"),
    expected: NO_RULE,
    can: [...asAuditor, "POST", "/accounts/7"],
  },
  {
    name: "curl, auditor's certificate: /salaries, plain and behind dots, escapes and slashes",
    outcome: 403,
    live: async () => {
      const paths = [
        "/salaries",
        "/accounts/../salaries",
        "/accounts/%2e%2e/salaries",
        "//salaries",
        "/accounts/..%2fsalaries",
      ];
      const answers: (number | "nothing")[] = [];
      for (const path of paths) answers.push(await curled(auditor, ofMesh, path, "--path-as-is")());
      // The last one is under /accounts/ unless escaped slashes are decoded, which is not asked for here.
      assert.equal(answers.pop(), 200);
      assert.deepEqual(new Set(answers), new Set([403]));
      return 403;
    },
    expected: NO_RULE,
    can: [...asAuditor, "GET", "/salaries"],
  },
  {
    name: "curl, intranet's certificate: GET /accounts/7",
    outcome: 403,
    live: curled({ uris: [spiffe("finance", "intranet")] }, ofMesh, "/accounts/7"),
    expected: NO_RULE,
    can: [
      "--principal",
      "cluster.local/ns/finance/sa/intranet",
      "--to",
      "finance/payroll:8080",
      "GET",
      "/accounts/7",
    ],
  },
  {
    name: "curl in plaintext: GET /accounts/7",
    outcome: "nothing",
    live: () => curl(`http://${payroll.pod("finance/payroll-0").address}:8080/accounts/7`),
    expected: STRICT,
    can: ["--plaintext", "--to", "finance/payroll:8080", "GET", "/accounts/7"],
  },
  {
    name: "curl without a certificate",
    outcome: "nothing",
    live: () => curl(`https://${payroll.pod("finance/payroll-0").address}:8080/accounts/7`),
    expected: { ...STRICT, reason: "no-client-certificate" },
    can: ["--tls", "simple", "--to", "finance/payroll:8080", "GET", "/accounts/7"],
    recordedCode: /PEER_DID_NOT_RETURN_A_CERTIFICATE/,
  },
  {
    name: "curl, auditor's name signed by a CA of the same names",
    outcome: "nothing",
    live: curled(auditor, () => rogue, "/accounts/7"),
    expected: UNTRUSTED,
    can: CAN_ROGUE,
    recordedCode: /UNABLE_TO|SELF_SIGNED|CERT_SIGNATURE|INVALID_CA|verify/i,
  },
  {
    name: "curl, a certificate that has ended",
    outcome: "nothing",
    live: curled({ ...auditor, ttlSeconds: -1 }, ofMesh, "/accounts/7"),
    expected: UNTRUSTED,
    can: CAN_ROGUE,
    recordedCode: /CERT_HAS_EXPIRED|BW_PEER_EXPIRED/,
  },
  {
    name: "curl, a certificate that begins tomorrow",
    outcome: "nothing",
    live: curled({ ...auditor, ttlSeconds: 172_800, startsInSeconds: 86_400 }, ofMesh, "/accounts/7"),
    expected: UNTRUSTED,
    can: CAN_ROGUE,
    recordedCode: /CERT_NOT_YET_VALID|BW_PEER_NOT_YET_VALID/,
  },
  ...(
    [
      [FOREIGN, ["spiffe://evil.example/ns/finance/sa/account-auditor"], /BW_PEER_FOREIGN_TRUST_DOMAIN/],
      [
        "two SPIFFE IDs",
        [spiffe("finance", "account-auditor"), spiffe("finance", "payroll")],
        /BW_PEER_NO_IDENTITY/,
      ],
      ["a URI that is no SPIFFE ID", ["https://finance/account-auditor"], /BW_PEER_NO_IDENTITY/],
      ["no name", [], /BW_PEER_NO_IDENTITY/],
      ["the trust domain alone", ["spiffe://cluster.local"], /BW_PEER_NO_IDENTITY/],
    ] as const
  ).map(
    ([what, uris, recordedCode]): Case => ({
      name: `curl, a certificate signed by the mesh's CA with ${what}`,
      outcome: "nothing",
      live: curled({ uris }, ofMesh, "/accounts/7"),
      expected: what === FOREIGN ? { ...STRICT, reason: "foreign-trust-domain" } : UNTRUSTED,
      can: what === FOREIGN ? CAN_FOREIGN : CAN_ROGUE,
      recordedCode,
    }),
  ),
  {
    name: "curl, a certificate that may sign others",
    outcome: "nothing",
    live: curled({ ...auditor, ca: true }, ofMesh, "/accounts/7"),
    expected: UNTRUSTED,
    can: CAN_ROGUE,
    recordedCode: /BW_PEER_NO_IDENTITY|INVALID_CA|PATH_LENGTH|INVALID_PURPOSE/,
  },
  {
    name: "raw TLS, auditor's certificate: TCP 9000",
    outcome: "nothing",
    live: async () => {
      const { address: host } = payroll.pod("finance/payroll-0");
      return await firstBytes(await mutualTls(payrollSigner, auditor, host, 9000, undefined), "hello\n");
    },
    expected: NO_RULE,
    can: [
      "--principal",
      "cluster.local/ns/finance/sa/account-auditor",
      "--to",
      "finance/payroll:9000",
      "--protocol",
      "tcp",
    ],
  },
];

const A_IBM: Expected = {
  by: GATEWAY,
  layer: "authorization",
  reason: "allow-matched",
  policy: "AuthorizationPolicy istio-egress/a-to-ibm",
};
const B_MONGO: Expected = { ...A_IBM, policy: "AuthorizationPolicy istio-egress/b-to-mongo1" };
const AT_GATEWAY: Expected = {
  by: GATEWAY,
  layer: "authorization",
  reason: "no-allow-matched",
  policy: null,
};
const blackhole = (by: string): Expected => ({
  by,
  layer: "client-route",
  reason: "blackhole",
  policy: null,
});
const A = "team-a/app-a";
const B = "team-b/app-b";

function egressCall(
  from: string,
  url: string,
  outcome: Case["outcome"],
  expected: Expected,
  ...args: readonly string[]
): Case {
  return {
    name: `call: ${from} ${url} ${args.join(" ")}`.trim(),
    outcome,
    live: called(() => egress, from, url, ...args),
    expected,
    // `-k` is curl's and ours: it says nothing of the mesh.
    can: [from, url, ...args.filter((arg) => arg !== "-k")],
  };
}

/** The application's own TLS through its sidecar's CONNECT, its ClientHello cut as the case wants. */
function tunnelled(
  pod: string,
  host: string,
  serverName: string | undefined,
  cut: (socket: Socket) => Duplex,
): Case["live"] {
  return async () => {
    const { address, outboundSecret } = egress.pod(pod);
    const socket = connectTcp(15_001, address);
    const proof = Buffer.from(`bulwark:${outboundSecret}`).toString("base64");
    socket.write(
      `CONNECT ${host}:443 HTTP/1.1\r\nhost: ${host}:443\r\nproxy-authorization: Basic ${proof}\r\n\r\n`,
    );
    const reply = await withTimeout(
      new Promise<string>((settle) => socket.once("data", (chunk) => settle(String(chunk)))),
      ANSWER_MS,
      "the sidecar's answer to CONNECT",
    );
    assert.match(reply, /^HTTP\/1\.1 200 /);
    return await httpsOver(cut(socket), serverName, host);
  };
}

/** Straight to the gateway with a hand-made certificate: one server name outside, another inside. */
function atGateway(account: "app-a" | "app-b", outer: string, inner: string | undefined): Case["live"] {
  return async () => {
    const { address } = egress.pod("istio-egress/istio-egressgateway-0");
    const made = { uris: [spiffe(account === "app-a" ? "team-a" : "team-b", account)] };
    const outside = await mutualTls(egressSigner, made, address, 8443, outer);
    return await httpsOver(outside, inner, inner ?? outer);
  };
}

const canAtGateway = (account: string, sni: string) => [
  "--principal",
  `cluster.local/ns/${account === "app-a" ? "team-a" : "team-b"}/sa/${account}`,
  "--to",
  `${GATEWAY}:8443`,
  "--protocol",
  "tls",
  "--sni",
  sni,
];

const EGRESS: readonly Case[] = [
  egressCall(A, "https://www.ibm.com/", 200, A_IBM),
  egressCall(A, "https://cloud.ibm.com/", 200, A_IBM),
  egressCall(B, "https://mongo1.composedb.com/", 200, B_MONGO),
  egressCall(A, "https://mongo1.composedb.com/", "nothing", AT_GATEWAY),
  egressCall(B, "https://www.ibm.com/", "nothing", AT_GATEWAY),
  egressCall(A, "https://www.example.org/", "nothing", blackhole(A)),
  egressCall(B, "https://ibm.com/", "nothing", blackhole(B)),
  egressCall(A, "https://www.ibm.com/", "nothing", AT_GATEWAY, "--sni", "mongo1.composedb.com", "-k"),
  egressCall(A, "https://www.ibm.com/", "nothing", blackhole(A), "--sni", "www.example.org", "-k"),
  egressCall(A, "https://www.ibm.com/", "nothing", blackhole(A), "--sni", "", "-k"),
  {
    name: "a ClientHello in packets of one byte, to A's own host",
    outcome: 200,
    live: tunnelled("team-a/app-a-0", "www.ibm.com", "www.ibm.com", (socket) => rewritten(socket, bytewise)),
    expected: A_IBM,
    can: [A, "https://www.ibm.com/"],
  },
  {
    name: "a ClientHello cut into TLS records of 16 bytes, to A's own host",
    outcome: 200,
    live: tunnelled("team-a/app-a-1", "www.ibm.com", "www.ibm.com", (socket) =>
      rewritten(socket, smallRecords),
    ),
    expected: A_IBM,
    can: [A, "https://www.ibm.com/"],
  },
  {
    name: "a ClientHello cut into TLS records of 16 bytes, in packets of one byte, to B's host",
    outcome: "nothing",
    live: tunnelled("team-a/app-a-0", "mongo1.composedb.com", "mongo1.composedb.com", (socket) =>
      rewritten(socket, (hello) => bytewise(Buffer.concat(smallRecords(hello)))),
    ),
    expected: AT_GATEWAY,
    can: [A, "https://mongo1.composedb.com/"],
  },
  {
    name: "a cut ClientHello without a server name",
    outcome: "nothing",
    live: tunnelled("team-a/app-a-0", "www.ibm.com", undefined, (socket) => rewritten(socket, smallRecords)),
    expected: blackhole(A),
    can: [A, "https://www.ibm.com/", "--sni", ""],
  },
  {
    name: "at the gateway: A outside and inside www.ibm.com",
    outcome: 200,
    live: atGateway("app-a", "www.ibm.com", "www.ibm.com"),
    expected: A_IBM,
    can: canAtGateway("app-a", "www.ibm.com"),
  },
  {
    name: "at the gateway: A outside www.ibm.com, inside B's mongo1.composedb.com",
    outcome: "nothing",
    live: atGateway("app-a", "www.ibm.com", "mongo1.composedb.com"),
    expected: AT_GATEWAY,
  },
  {
    name: "at the gateway: A outside B's mongo1.composedb.com, inside www.ibm.com",
    outcome: "nothing",
    live: atGateway("app-a", "mongo1.composedb.com", "www.ibm.com"),
    expected: AT_GATEWAY,
    can: canAtGateway("app-a", "mongo1.composedb.com"),
  },
  {
    name: "at the gateway: A outside www.ibm.com, inside a host that nobody registered",
    outcome: "nothing",
    live: atGateway("app-a", "www.ibm.com", "www.example.org"),
    expected: { ...AT_GATEWAY, layer: "transport", reason: "no-chain" },
  },
  {
    name: "at the gateway: A outside www.ibm.com, inside no name",
    outcome: "nothing",
    live: atGateway("app-a", "www.ibm.com", undefined),
    expected: { ...AT_GATEWAY, layer: "route", reason: "inner-sni-missing" },
  },
  {
    name: "at the gateway: B outside and inside www.ibm.com",
    outcome: "nothing",
    live: atGateway("app-b", "www.ibm.com", "www.ibm.com"),
    expected: AT_GATEWAY,
    can: canAtGateway("app-b", "www.ibm.com"),
  },
  {
    name: "at the gateway: B outside and inside mongo1.composedb.com",
    outcome: 200,
    live: atGateway("app-b", "mongo1.composedb.com", "mongo1.composedb.com"),
    expected: B_MONGO,
    can: canAtGateway("app-b", "mongo1.composedb.com"),
  },
];

for (const [scenario, cases] of [
  ["payroll", PAYROLL],
  ["egress", EGRESS],
] as const) {
  const mesh = () => (scenario === "payroll" ? payroll : egress);
  const files = scenario === "payroll" ? PAYROLL_FILES : EGRESS_FILES;
  for (const each of cases) {
    test(`${scenario}: ${each.name}: ${each.outcome}, recorded${each.can === undefined ? "" : ", and `can` says so"}`, async () => {
      const startedAt = new Date(Date.now() - 1).toISOString();
      assert.equal(await each.live(), each.outcome);
      await assertRecorded(mesh(), each, startedAt);
      if (each.can !== undefined) await assertDecided(files, each, each.can);
    });
  }
}

/** The deciding proxy's record, among those that began with the request. */
async function assertRecorded(mesh: LiveMesh, each: Case, startedAt: string): Promise<void> {
  const { expected, outcome, recordedCode } = each;
  const verdict = outcome === 200 ? "allow" : "deny";
  let seen: readonly FlowRecord[] = [];
  const found = () => {
    seen = mesh.flows(`reporter = '${expected.by}'`).filter(({ time }) => time >= startedAt);
    return seen.some(
      (record) =>
        record.verdict === verdict &&
        record.kind !== (verdict === "allow" ? "handshake" : "rotation") &&
        record.layer === expected.layer &&
        record.reason === expected.reason &&
        (record.policy ?? null) === expected.policy &&
        (recordedCode === undefined || recordedCode.test(String(record.explanation))) &&
        (outcome === "nothing" || record.status === undefined || record.status === outcome),
    );
  };
  await until(found, "the record", 10_000).catch(() => assert.fail(`${JSON.stringify(seen, undefined, 1)}`));
  if (mesh === egress && outcome === 200) assertEgressRecord(seen);
}

/** Every connection out: by which service account, to which name outside and inside. */
function assertEgressRecord(seen: readonly FlowRecord[]): void {
  const record = seen.find(({ kind, verdict }) => kind === "connection" && verdict === "allow");
  assert.match(record?.source?.principal ?? "", /^cluster\.local\/ns\/team-[ab]\/sa\/app-[ab]$/);
  assert.ok(record?.sni !== undefined && record.innerSni !== undefined);
  assert.ok((record.bytesSent ?? 0) > 0 && (record.bytesReceived ?? 0) > 0);
}

async function assertDecided(
  files: string,
  { outcome, expected }: Case,
  args: readonly string[],
): Promise<void> {
  const { code, stdout, stderr } = await bulwark([
    "can",
    ...args,
    "--mesh",
    files,
    "--semantics",
    "strict",
    "--format",
    "json",
  ]);
  assert.equal(code, outcome === 200 ? 0 : 2, stderr);
  const { decisions } = JSON.parse(stdout) as { decisions: readonly Record<string, unknown>[] };
  const [decision] = decisions;
  assert.deepEqual(
    { by: decision?.hop, layer: decision?.layer, reason: decision?.cause, policy: decision?.policy },
    expected,
  );
  if (outcome !== "nothing" && decision?.code !== 0) assert.equal(decision?.code, outcome);
}

async function mutualTls(
  signer: HandSigner,
  made: HandMade,
  host: string,
  port: number,
  servername: string | undefined,
): Promise<TLSSocket> {
  const { keyPem, chainPem, rootPem } = await signer.issue(made);
  const socket = connectTls({
    host,
    port,
    key: keyPem,
    cert: chainPem,
    ca: rootPem,
    ALPNProtocols: ["istio"],
    checkServerIdentity: () => undefined,
    ...(servername === undefined ? {} : { servername }),
  });
  socket.on("error", () => {});
  await withTimeout(
    new Promise((settle, reject) => socket.once("secureConnect", settle).once("error", reject)),
    ANSWER_MS,
    "mutual TLS",
  );
  return socket;
}

/** Speaks first; what comes back before the end, if anything. */
async function firstBytes(socket: Socket, text: string): Promise<200 | "nothing"> {
  socket.write(text);
  const answered = new Promise<200 | "nothing">((settle) => {
    socket.once("data", () => settle(200)).once("close", () => settle("nothing"));
  });
  try {
    return await withTimeout(answered, ANSWER_MS, "an answer or an end");
  } finally {
    socket.destroy();
  }
}

/** One GET over TLS of our own, over a connection that is there. */
async function httpsOver(
  carrier: Duplex,
  servername: string | undefined,
  host: string,
): Promise<number | "nothing"> {
  let answer = "";
  const ended = new Promise<void>((settle) => {
    const secure = connectTls({
      socket: carrier,
      rejectUnauthorized: false,
      ...(servername === undefined ? {} : { servername }),
    });
    secure.on("secureConnect", () =>
      secure.write(`GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`),
    );
    secure.on("data", (chunk) => {
      answer += String(chunk);
    });
    secure.on("error", () => settle());
    secure.on("close", () => settle());
    carrier.on("close", () => settle());
  });
  await withTimeout(ended, ANSWER_MS, "an answer or an end").finally(() => carrier.destroy());
  return answer === "" ? "nothing" : Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
}

/** A stream that is no socket, so that TLS writes through it: its first write, the ClientHello, goes out in pieces. */
function rewritten(socket: Socket, cut: (hello: Buffer) => readonly Buffer[]): Duplex {
  let first = true;
  const stream = new Duplex({
    read() {},
    write(data: Buffer, _encoding, done) {
      const pieces = first ? cut(data) : [data];
      first = false;
      void writeApart(socket, pieces).then(() => done());
    },
    final(done) {
      socket.end();
      done();
    },
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  socket.setNoDelay(true);
  socket.on("data", (chunk) => stream.push(chunk));
  socket.on("error", () => stream.destroy());
  socket.on("close", () => stream.destroy());
  return stream;
}

async function writeApart(socket: Socket, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    if (!socket.writable) return;
    socket.write(piece);
    await new Promise((settle) => setImmediate(settle));
  }
}

function bytewise(data: Buffer): readonly Buffer[] {
  return Array.from(data, (byte) => Buffer.of(byte));
}

const RECORD_HEAD_BYTES = 5;
const SMALL_RECORD_BYTES = 16;

/** The same handshake message in many records (RFC 8446 §5.1): the transcript, and so the handshake, stays what it was. */
function smallRecords(data: Buffer): readonly Buffer[] {
  const length = data.readUInt16BE(3);
  assert.deepEqual([data[0], data.length], [0x16, RECORD_HEAD_BYTES + length], "one handshake record");
  const records: Buffer[] = [];
  for (let at = RECORD_HEAD_BYTES; at < data.length; at += SMALL_RECORD_BYTES) {
    const body = data.subarray(at, at + SMALL_RECORD_BYTES);
    records.push(Buffer.concat([data.subarray(0, 3), Buffer.of(0, body.length), body]));
  }
  return records;
}
