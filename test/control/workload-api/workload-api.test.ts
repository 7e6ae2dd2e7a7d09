import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { decodeJwt, decodeProtectedHeader } from "jose";
import { stateFolderAt } from "../../../src/control/state-folder.ts";
import { TrustBundles } from "../../../src/control/trust-bundle/trust-bundles.ts";
import { WorkloadApi } from "../../../src/control/workload-api/workload-api.ts";
import { workloadSocket } from "../../../src/control/workload-api/workload-sockets.ts";
import { MessageWriter } from "../../../src/dataplane/ext-authz/protobuf-wire.ts";
import { JwtSvidKeys } from "../../../src/identity/jwt-svid/jwt-svid-keys.ts";
import { parseSpiffeId } from "../../../src/model/spiffe-id.ts";
import { BulwarkError } from "../../../src/resources/bulwark-error.ts";
import type { PodAssignment } from "../../../src/substrate/assignment.ts";
import { AUDITOR, PAYROLL, temporaryFolder, testCa, trustDomain } from "../../identity/mesh-fixture.ts";
import { until } from "../until.ts";
import { ApiClient, bytesAt, type Followed, fields, header, mapAt } from "./api-client.ts";

const API = "/SpiffeWorkloadAPI";
const SDS = "/envoy.service.secret.v3.SecretDiscoveryService";
const SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
const OTHER = trustDomain("other.example");

function pod(name: string, spiffeId: string, more: Partial<PodAssignment> = {}): PodAssignment {
  return {
    name,
    namespace: "finance",
    workload: `finance/${name}`,
    replica: 0,
    address: "127.0.0.1",
    uid: `uid-${name}`,
    serviceAccount: name,
    spiffeId,
    role: "application",
    proxied: true,
    outboundSecret: "",
    applicationPorts: [],
    ...more,
  };
}

const AUDITOR_POD = pod("auditor-0", AUDITOR);
const PAYROLL_POD = pod("payroll-0", PAYROLL);
const OUTSIDER = pod("outsider-0", "spiffe://cluster.local/ns/finance/sa/outsider", { proxied: false });

/** A Workload API over a CA of the test's own. */
async function startApi(context: TestContext, ttlSeconds = 0) {
  const state = stateFolderAt(temporaryFolder(context));
  const ca = await testCa(context);
  const jwtKeys = await JwtSvidKeys.open(join(state.root, "jwt-svid"));
  const warnings: string[] = [];
  const onWarning = (message: string): void => void warnings.push(message);
  const bundles = new TrustBundles({
    trustDomain: ca.trustDomain,
    x509Authorities: () => ca.trustBundle,
    jwtKeys,
    file: join(state.root, "sequence.json"),
    documentFile: join(state.root, "trust-bundle.json"),
    refreshHintSeconds: 300,
    onWarning,
  });
  const revoked = new Set<string>();
  const refuseRevoked = ({ spiffeId }: PodAssignment): void => {
    if (revoked.has(spiffeId)) throw new BulwarkError("BW_CA_CREDENTIAL_CUT_OFF", "it was revoked");
  };
  let pods: readonly PodAssignment[] = [AUDITOR_POD, PAYROLL_POD, OUTSIDER];
  const api = new WorkloadApi({
    state,
    pods: () => pods,
    standing: {
      check: async (pod) => refuseRevoked(pod),
      sign: async (csr, pod) => {
        refuseRevoked(pod);
        const { spiffeId } = pod;
        const verifiedIdentity = parseSpiffeId(spiffeId)?.id ?? assert.fail();
        const issued = await ca.issue({ csr, verifiedIdentity, ttlSeconds });
        return {
          ...issued,
          notBefore: issued.notBefore.toISOString(),
          notAfter: issued.notAfter.toISOString(),
        };
      },
    },
    bundles,
    jwtKeys,
    clock: Date.now,
    onWarning,
  });
  await api.podsChanged();
  context.after(async () => {
    bundles.close();
    await api.close();
  });
  return {
    api,
    state,
    bundles,
    warnings,
    revoked,
    setPods: (next: readonly PodAssignment[]) => {
      pods = next;
      return api.podsChanged();
    },
    client: (of: PodAssignment = AUDITOR_POD) => {
      const client = new ApiClient(workloadSocket(state, of));
      context.after(() => client.close());
      return client;
    },
  };
}

async function first(stream: Followed): Promise<Buffer> {
  await until(() => stream.messages.length > 0);
  return stream.messages[0] ?? assert.fail();
}

test("FetchX509SVID hands out the identity of the socket's pod, with a key of its own on each stream", async (context) => {
  const { client, bundles } = await startApi(context);
  const [one, two] = [client().follow(`${API}/FetchX509SVID`), client().follow(`${API}/FetchX509SVID`)];
  const [left, right] = [await first(one), await first(two)];
  assert.equal(bytesAt(left, 1, 1).toString("utf8"), AUDITOR);
  const leaf = new X509Certificate(bytesAt(left, 1, 2));
  const key = createPrivateKey({ key: bytesAt(left, 1, 3), format: "der", type: "pkcs8" });
  assert.ok(leaf.checkPrivateKey(key));
  assert.notDeepEqual(bytesAt(left, 1, 3), bytesAt(right, 1, 3), "two streams have two keys");
  assert.deepEqual(bytesAt(left, 1, 4), bundles.own.x509Authorities[0], "the roots come along");
  const chain = bytesAt(left, 1, 2);
  const intermediate = new X509Certificate(chain.subarray(leaf.raw.length));
  assert.ok(leaf.verify(intermediate.publicKey), "the intermediate follows the leaf");
  one.cancel();
  assert.equal(await one.ended, status.CANCELLED);
});

test("FetchX509SVID pushes a new certificate before the last has ended", async (context) => {
  const { client } = await startApi(context, 2);
  const stream = client().follow(`${API}/FetchX509SVID`);
  await until(() => stream.messages.length >= 3, 30_000);
  const serials = stream.messages.map((message) => new X509Certificate(bytesAt(message, 1, 2)).serialNumber);
  assert.equal(new Set(serials).size, serials.length);
  const ends = stream.messages.map((message) =>
    Date.parse(new X509Certificate(bytesAt(message, 1, 2)).validTo),
  );
  assert.deepEqual(ends.toSorted(), ends);
});

test("the Workload API refuses a call without its security header, and one with another value", async (context) => {
  const { client } = await startApi(context);
  for (const method of ["FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles"]) {
    for (const value of ["false", "TRUE", ""])
      assert.equal(await client().follow(`${API}/${method}`, header(value)).ended, status.INVALID_ARGUMENT);
    const none = header();
    none.remove("workload.spiffe.io");
    assert.equal(await client().follow(`${API}/${method}`, none).ended, status.INVALID_ARGUMENT);
  }
  const ask = new MessageWriter().text(1, "there").finish();
  assert.equal(await client().unary(`${API}/FetchJWTSVID`, ask, header("no")), status.INVALID_ARGUMENT);
  assert.equal(await client().unary(`${API}/ValidateJWTSVID`, ask, header("no")), status.INVALID_ARGUMENT);
});

test("a pod without a proxy of the mesh is given nothing", async (context) => {
  const { client } = await startApi(context);
  const outside = client(OUTSIDER);
  for (const method of ["FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles"])
    assert.equal(await outside.follow(`${API}/${method}`).ended, status.PERMISSION_DENIED);
  const ask = new MessageWriter().text(1, "there").finish();
  assert.equal(await outside.unary(`${API}/FetchJWTSVID`, ask), status.PERMISSION_DENIED);
  assert.equal(await outside.duplex(`${SDS}/StreamSecrets`).ended, status.PERMISSION_DENIED);
});

test("a revoked identity is given nothing more: no certificate, no token, no secret; others are", async (context) => {
  const { client, revoked } = await startApi(context);
  revoked.add(AUDITOR);
  const ask = new MessageWriter().text(1, "there").finish();
  assert.equal(await client().follow(`${API}/FetchX509SVID`).ended, status.PERMISSION_DENIED);
  assert.equal(await client().unary(`${API}/FetchJWTSVID`, ask), status.PERMISSION_DENIED);
  assert.equal(await client().unary(`${SDS}/FetchSecrets`, discovery(["default"])), status.PERMISSION_DENIED);
  assert.equal(typeof (await client(PAYROLL_POD).unary(`${API}/FetchJWTSVID`, ask)), "object");
});

test("an open stream ends at the first renewal that its identity is refused", async (context) => {
  const { client, revoked } = await startApi(context, 2);
  const stream = client().follow(`${API}/FetchX509SVID`);
  await first(stream);
  revoked.add(AUDITOR);
  assert.equal(await stream.ended, status.PERMISSION_DENIED);
});

test("a pod that goes loses its streams and its socket; others keep theirs; one of the same name that comes is another", async (context) => {
  const { client, setPods, state } = await startApi(context);
  const [gone, stays] = [
    client().follow(`${API}/FetchX509SVID`),
    client(PAYROLL_POD).follow(`${API}/FetchX509SVID`),
  ];
  await Promise.all([first(gone), first(stays)]);
  await setPods([PAYROLL_POD]);
  assert.equal(await gone.ended, status.PERMISSION_DENIED);
  await until(() => !existsSync(workloadSocket(state, AUDITOR_POD)));
  await setPods([PAYROLL_POD, { ...AUDITOR_POD, uid: "another", spiffeId: PAYROLL }]);
  const next = client().follow(`${API}/FetchX509SVID`);
  assert.equal(bytesAt(await first(next), 1, 1).toString("utf8"), PAYROLL);
  assert.equal(stays.messages.length, 1);
  stays.cancel();
});

test("a pod's streams are bounded", async (context) => {
  const { client } = await startApi(context);
  const streams = Array.from({ length: 65 }, () => client().follow(`${API}/FetchX509Bundles`));
  const codes: number[] = [];
  for (const stream of streams) void stream.ended.then((code) => codes.push(code));
  await until(() => codes.length > 0);
  assert.deepEqual(codes, [status.RESOURCE_EXHAUSTED]);
  streams.find(({ messages }) => messages.length > 0)?.cancel();
  await until(() => codes.includes(status.CANCELLED));
  assert.ok(await first(client().follow(`${API}/FetchX509Bundles`)), "a stream that ended makes room");
});

test("bundles of federated trust domains come and change on open streams, each under its own name", async (context) => {
  const { client, bundles } = await startApi(context);
  const foreign = await testCa(context, { trustDomain: OTHER });
  const [x509, jwt, svid] = ["FetchX509Bundles", "FetchJWTBundles", "FetchX509SVID"].map((method) =>
    client().follow(`${API}/${method}`),
  ) as [Followed, Followed, Followed];
  assert.deepEqual([...mapAt(await first(x509), 2).keys()], ["spiffe://cluster.local"]);
  assert.deepEqual([...mapAt(await first(svid), 3).keys()], []);
  await first(jwt);
  bundles.setFederated({
    trustDomain: OTHER,
    x509Authorities: foreign.trustBundle,
    jwtAuthorities: [],
    sequence: 1,
    refreshHintSeconds: undefined,
  });
  await until(() => [x509, jwt, svid].every(({ messages }) => messages.length === 2));
  const [roots, federated] = [
    mapAt(x509.messages[1] ?? assert.fail(), 2),
    mapAt(svid.messages[1] ?? assert.fail(), 3),
  ];
  assert.deepEqual(roots.get("spiffe://other.example"), foreign.trustBundle[0]);
  assert.deepEqual(roots.get("spiffe://cluster.local"), bundles.own.x509Authorities[0]);
  assert.deepEqual([...federated], [["spiffe://other.example", foreign.trustBundle[0]]]);
  assert.deepEqual(
    bytesAt(svid.messages[1] ?? assert.fail(), 1, 2),
    bytesAt(svid.messages[0] ?? assert.fail(), 1, 2),
    "the certificate is the same",
  );
});

test("FetchJWTSVID signs for the asked audiences, with a key of the bundle, and ValidateJWTSVID agrees", async (context) => {
  const { client } = await startApi(context);
  const ask = new MessageWriter().text(1, "there").text(1, "elsewhere").finish();
  const answer = await client().unary(`${API}/FetchJWTSVID`, ask);
  assert.ok(typeof answer !== "number");
  const token = bytesAt(answer, 1, 2).toString("utf8");
  const { sub, aud, exp = 0, iat = 0 } = decodeJwt(token);
  assert.deepEqual([sub, aud, exp - iat], [AUDITOR, ["there", "elsewhere"], 300]);
  const bundle = mapAt(await first(client().follow(`${API}/FetchJWTBundles`)), 1).get(
    "spiffe://cluster.local",
  );
  const { keys } = JSON.parse(String(bundle)) as { keys: { kid: string; use: string; d?: string }[] };
  assert.deepEqual(
    keys.map(({ kid }) => kid),
    [decodeProtectedHeader(token).kid],
  );
  assert.ok(keys.every((key) => key.d === undefined && key.use === "jwt-svid"));
  const validate = (audience: string, svid: string) =>
    client(PAYROLL_POD).unary(
      `${API}/ValidateJWTSVID`,
      new MessageWriter().text(1, audience).text(2, svid).finish(),
    );
  const valid = await validate("there", token);
  assert.ok(typeof valid !== "number");
  assert.equal(bytesAt(valid, 1).toString("utf8"), AUDITOR);
  assert.deepEqual(
    fields(bytesAt(valid, 2), 1)
      .map(({ bytes }) => bytesAt(bytes, 1).toString("utf8"))
      .sort(),
    ["aud", "exp", "iat", "sub"],
  );
  assert.equal(await validate("nowhere", token), status.INVALID_ARGUMENT);
  assert.equal(await validate("", token), status.INVALID_ARGUMENT);
  assert.equal(await validate("there", `${token.slice(0, -8)}AAAAAAAA`), status.INVALID_ARGUMENT);
});

test("FetchJWTSVID refuses no audience, an empty one, too many, and another workload's identity", async (context) => {
  const { client } = await startApi(context);
  const ask = (audiences: readonly string[], id = "") => {
    const writer = new MessageWriter();
    for (const audience of audiences) writer.bytes(1, Buffer.from(audience));
    return client().unary(`${API}/FetchJWTSVID`, writer.text(2, id).finish());
  };
  assert.equal(await ask([]), status.INVALID_ARGUMENT);
  assert.equal(await ask(["there", ""]), status.INVALID_ARGUMENT);
  assert.equal(await ask(Array.from({ length: 17 }, (_, at) => `a${at}`)), status.INVALID_ARGUMENT);
  assert.equal(await ask(["there"], PAYROLL), status.PERMISSION_DENIED);
  assert.equal(typeof (await ask(["there"], AUDITOR)), "object");
});

function discovery(names: readonly string[], nonce = "", error?: string, typeUrl = SECRET): Buffer {
  const writer = new MessageWriter();
  for (const name of names) writer.text(3, name);
  writer.text(4, typeUrl).text(5, nonce);
  if (error !== undefined) writer.message(6, new MessageWriter().int(1, 3).text(2, error));
  return writer.finish();
}

/** Secrets of an answer, by name. */
function secretsOf(answer: Buffer): ReadonlyMap<string, Buffer> {
  return new Map(
    fields(answer, 2).map(({ bytes }) => {
      assert.equal(bytesAt(bytes, 1).toString("utf8"), SECRET);
      const secret = bytesAt(bytes, 2);
      return [bytesAt(secret, 1).toString("utf8"), secret];
    }),
  );
}

test("StreamSecrets answers once for each change: not to a yes, not to a no, not to an old nonce", async (context) => {
  const { client, bundles, warnings } = await startApi(context);
  const stream = client().duplex(`${SDS}/StreamSecrets`);
  stream.write(discovery(["default", "ROOTCA"]));
  const answer = await first(stream);
  const secrets = secretsOf(answer);
  const certificate = new X509Certificate(bytesAt(secrets.get("default") ?? assert.fail(), 2, 1, 2));
  const key = createPrivateKey(bytesAt(secrets.get("default") ?? assert.fail(), 2, 2, 2));
  assert.ok(certificate.publicKey.equals(createPublicKey(key)));
  const roots = new X509Certificate(bytesAt(secrets.get("ROOTCA") ?? assert.fail(), 4, 1, 2));
  assert.deepEqual(roots.raw, bundles.own.x509Authorities[0]);
  const nonce = bytesAt(answer, 5).toString("utf8");
  stream.write(discovery(["default", "ROOTCA"], nonce));
  stream.write(discovery(["default", "ROOTCA"], nonce, "no good\nreally"));
  stream.write(discovery(["ROOTCA"], "stale"));
  // The next answer is the one to this; had the others been answered, it would not be the second.
  stream.write(discovery(["ROOTCA"], nonce));
  await until(() => stream.messages.length > 1);
  assert.deepEqual([...secretsOf(stream.messages[1] ?? assert.fail()).keys()], ["ROOTCA"]);
  assert.equal(warnings.length, 1);
  assert.ok(!warnings[0]?.includes("really"), "what a client says does not get into the log");
  stream.cancel();
});

test("StreamSecrets pushes renewed certificates, with rising versions", async (context) => {
  const { client } = await startApi(context, 2);
  const stream = client().duplex(`${SDS}/StreamSecrets`);
  stream.write(discovery(["default"]));
  await until(() => stream.messages.length >= 3, 30_000);
  const versions = stream.messages.slice(0, 3).map((message) => bytesAt(message, 1).toString("utf8"));
  assert.deepEqual(versions, ["1", "2", "3"]);
  stream.cancel();
});

test("StreamSecrets keeps roots of each trust domain to themselves: ROOTCA is never a union", async (context) => {
  const { client, bundles } = await startApi(context);
  const foreign = await testCa(context, { trustDomain: OTHER });
  bundles.setFederated({
    trustDomain: OTHER,
    x509Authorities: foreign.trustBundle,
    jwtAuthorities: [],
    sequence: undefined,
    refreshHintSeconds: undefined,
  });
  const answer = await client().unary(
    `${SDS}/FetchSecrets`,
    discovery(["ROOTCA", "spiffe://other.example", "ALL"]),
  );
  assert.ok(typeof answer !== "number");
  const secrets = secretsOf(answer);
  const rootsIn = (name: string) => bytesAt(secrets.get(name) ?? assert.fail(), 4, 1, 2).toString("latin1");
  assert.equal(rootsIn("ROOTCA").match(/BEGIN/g)?.length, 1);
  assert.deepEqual(new X509Certificate(rootsIn("ROOTCA")).raw, bundles.own.x509Authorities[0]);
  assert.deepEqual(new X509Certificate(rootsIn("spiffe://other.example")).raw, foreign.trustBundle[0]);
  const validator = bytesAt(secrets.get("ALL") ?? assert.fail(), 4, 12, 2, 2);
  const domains = fields(validator, 1).map(({ bytes }) => bytesAt(bytes, 1).toString("utf8"));
  assert.deepEqual(domains, ["cluster.local", "other.example"]);
});

test("secret discovery refuses other resources, other pods' certificates and unknown trust domains", async (context) => {
  const { client } = await startApi(context);
  const ask = (names: readonly string[], type = SECRET) =>
    client().unary(`${SDS}/FetchSecrets`, discovery(names, "", undefined, type));
  assert.equal(
    await ask(["default"], "type.googleapis.com/envoy.config.cluster.v3.Cluster"),
    status.INVALID_ARGUMENT,
  );
  assert.equal(await ask([PAYROLL]), status.INVALID_ARGUMENT);
  assert.equal(await ask(["spiffe://unknown.example"]), status.INVALID_ARGUMENT);
  assert.equal(typeof (await ask([AUDITOR])), "object");
});

test("hostile bytes end a call and nothing else", async (context) => {
  const { client } = await startApi(context);
  const wreck = Buffer.from("ffffffffffffffffffffff01", "hex");
  for (const path of [`${API}/FetchJWTSVID`, `${API}/ValidateJWTSVID`, `${SDS}/FetchSecrets`])
    assert.ok(Number(await client().unary(path, wreck)) > 0);
  const stream = client().duplex(`${SDS}/StreamSecrets`);
  stream.write(wreck);
  assert.ok((await stream.ended) > 0);
  assert.equal(await client().unary(`${API}/FetchJWTSVID`, Buffer.alloc(1 << 20)), status.RESOURCE_EXHAUSTED);
  assert.ok(await first(client().follow(`${API}/FetchX509Bundles`)));
});

test("sockets are for their owner only, and sockets of a killed process are no obstacle", async (context) => {
  const { state, api } = await startApi(context);
  const socket = workloadSocket(state, AUDITOR_POD);
  assert.equal(statSync(join(socket, "..")).mode & 0o077, 0);
  const deep = stateFolderAt(join(state.root, "d".repeat(40)));
  mkdirSync(deep.root);
  assert.ok(workloadSocket(deep, pod("p".repeat(63), AUDITOR)).length <= 103);
  await api.close();
  assert.ok(!existsSync(socket));
});
