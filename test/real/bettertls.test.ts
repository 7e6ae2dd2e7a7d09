/**
 * Chain building and name constraints, by the cases of Netflix's bettertls: what our clients accept of a server (Node's OpenSSL with our TLS profile), and, of the
 * chains that OpenSSL accepted, what our own walk along them says. Needs Go. Differences are explained in docs/chain-validation.md.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import { connect, createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import { chainProblem, linkedChain } from "../../src/identity/peer-chain.ts";
import { encodePem } from "../../src/identity/pem.ts";
import { TLS_PROFILE } from "../../src/identity/tls-profile.ts";
import { program } from "./programs.ts";

interface Case {
  readonly suite: "pathbuilding" | "nameconstraints";
  readonly id: number;
  readonly certificates: readonly string[];
  readonly key?: string;
  readonly hostname: string;
  readonly features: readonly string[];
  readonly accept: boolean;
  readonly soft: boolean;
}

interface Verdict {
  readonly tls: boolean;
  /** Of what TLS accepted: what our own walk finds wrong with it. */
  readonly walk: string | undefined;
}

/** One handshake in memory, the way our proxies go to a server outside of the mesh. */
async function shake(one: Case, key: string, root: Buffer, context: SecureContext): Promise<Verdict> {
  const [near, far] = duplexPair();
  const ders = one.certificates.map((text) => Buffer.from(text, "base64"));
  const server = new TLSSocket(far, {
    isServer: true,
    // The root is sent by some cases; it counts for nothing.
    secureContext: createSecureContext({
      key,
      cert: ders.map((der) => encodePem("CERTIFICATE", der)).join(""),
    }),
  });
  server.on("error", () => {});
  const client = connect({
    socket: near,
    host: one.hostname,
    secureContext: context,
    ...(one.hostname === "127.0.0.1" ? {} : { servername: one.hostname }),
  });
  try {
    await once(client, "secureConnect");
    const chain = linkedChain(client.getPeerCertificate(true));
    return {
      tls: client.authorized,
      walk: chainProblem(
        chain.filter((der) => !der.equals(root)),
        [new X509Certificate(root)],
        "server",
        Date.now(),
      ),
    };
  } catch {
    return { tls: false, walk: undefined };
  } finally {
    client.destroy();
    server.destroy();
  }
}

async function* cases(): AsyncGenerator<Case | { readonly root: string }> {
  const go = spawn(program("go"), ["run", "."], {
    cwd: join(import.meta.dirname, "bettertls"),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(go, "exit");
  for await (const line of createInterface({ input: go.stdout }))
    yield JSON.parse(line) as Case | { readonly root: string };
  const [code] = await exited;
  assert.equal(code, 0, "the Go program failed");
}

interface Outcome {
  readonly cases: Record<Case["suite"], number>;
  /** Accepted where bettertls says that it must not be. */
  readonly wronglyAccepted: string[];
  /** Refused where bettertls says that it must be accepted, by the difference that explains it: safe, but a server that is not reached. */
  readonly refused: Record<string, number>;
  /** What our own walk finds wrong with chains that TLS accepted, and rightly so. */
  readonly walked: Record<string, number>;
}

async function run(): Promise<Outcome> {
  const outcome: Outcome = {
    cases: { pathbuilding: 0, nameconstraints: 0 },
    wronglyAccepted: [],
    refused: {},
    walked: {},
  };
  let root = Buffer.alloc(0);
  let context = createSecureContext();
  let key = "";
  for await (const one of cases()) {
    if ("root" in one) {
      root = Buffer.from(one.root, "base64");
      context = createSecureContext({ ca: encodePem("CERTIFICATE", root), ...TLS_PROFILE.outside });
      continue;
    }
    if (one.key !== undefined) key = pemOfKey(one.key);
    judge(one, await shake(one, key, root, context), outcome);
  }
  return outcome;
}

function pemOfKey(base64: string): string {
  const key = createPrivateKey({ key: Buffer.from(base64, "base64"), format: "der", type: "pkcs8" });
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

function judge(
  one: Case,
  { tls, walk }: Verdict,
  { cases: count, wronglyAccepted, refused, walked }: Outcome,
): void {
  count[one.suite]++;
  if (tls && one.accept && walk !== undefined) walked[walk] = (walked[walk] ?? 0) + 1;
  if (one.soft || tls === one.accept) return;
  if (tls) wronglyAccepted.push(`${one.suite} ${one.id}`);
  else refused[differenceOf(one)] = (refused[differenceOf(one)] ?? 0) + 1;
}

function differenceOf({ suite, id, features, certificates }: Case): string {
  if (suite === "pathbuilding" && features.includes("BRANCHING")) return "no backtracking";
  const { subject, subjectAltName } = new X509Certificate(Buffer.from(certificates[0] ?? "", "base64"));
  const addressAsName = /^CN=[0-9.]+$/m.test(subject) && subjectAltName?.startsWith("IP Address:") === true;
  return suite === "nameconstraints" && addressAsName
    ? "common name held against DNS constraints"
    : `${suite} ${id}`;
}

test("no chain that bettertls says must be refused is accepted; each that is refused without need is explained", async () => {
  const { cases: count, wronglyAccepted, refused, walked } = await run();
  assert.deepEqual(count, { pathbuilding: 81, nameconstraints: 9491 });
  assert.deepEqual(wronglyAccepted, []);
  assert.deepEqual(refused, { "common name held against DNS constraints": 30, "no backtracking": 26 });
  assert.deepEqual(walked, { "a certificate of its chain is not valid now": 2 });
});
