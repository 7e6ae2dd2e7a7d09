/** What others say of our TLS: two independent scanners and openssl, against a sidecar's port and the egress gateway's. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Finished } from "../cli/run-bulwark.ts";
import { HandSigner, writeCredentials } from "./hand-signer.ts";
import { LiveMesh, withTimeout } from "./live-mesh.ts";
import { program, run } from "./programs.ts";

interface Target {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Without one that it serves, the gateway has no server for the connection. */
  readonly serverName: string;
}

let mesh: LiveMesh;
let targets: readonly Target[];
let client: { readonly key: string; readonly chain: string; readonly root: string };

before(async () => {
  mesh = await LiveMesh.up(["examples/egress", "--simulate-external"]);
  const signer = await HandSigner.ofMesh(mesh.state.caFolder);
  client = writeCredentials(
    mesh.folder,
    "client",
    await signer.issue({ uris: ["spiffe://cluster.local/ns/team-a/sa/app-a"] }),
  );
  targets = [
    { name: "sidecar", host: mesh.pod("team-a/app-a-0").address, port: 8080, serverName: "app-a.team-a" },
    {
      name: "gateway",
      host: mesh.pod("istio-egress/istio-egressgateway-0").address,
      port: 8443,
      serverName: "www.ibm.com",
    },
  ];
});
after(() => mesh?.dispose());

function target(name: string): Target {
  return targets.find((candidate) => candidate.name === name) ?? assert.fail(name);
}

const WITH_CERTIFICATE = () => [
  "-cert",
  client.key.replace(/key$/, "crt"),
  "-key",
  client.key,
  "-cert_chain",
  client.chain,
];

/** Keeps the connection open for a moment: under TLS 1.3 a refusal comes after the client's side of the handshake. */
async function openssl({ host, port, serverName }: Target, ...args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await run(
    program("openssl"),
    ["s_client", "-connect", `${host}:${port}`, "-servername", serverName, "-CAfile", client.root, ...args],
    { input: "GET / HTTP/1.1\r\nhost: x\r\n\r\n", inputOpenMs: 1500, timeoutMs: 20_000 },
  );
  return stdout + stderr;
}

for (const name of ["sidecar", "gateway"]) {
  test(`openssl s_client on the ${name}: TLS 1.3 with a certificate of the mesh, chain verified up to its root`, async () => {
    const output = await openssl(target(name), ...WITH_CERTIFICATE());
    assert.match(output, /^New, TLSv1\.3, Cipher is TLS_/m);
    assert.match(output, /^Verify return code: 0 \(ok\)$/m);
    assert.match(output, /Acceptable client certificate CA names\nO = Bulwark, CN = Bulwark Root CA/);
    assert.doesNotMatch(output, /SSL alert number/);
    // The session's ticket says whether 0-RTT, which can be replayed, would be taken.
    for (const [, bytes] of output.matchAll(/Max Early Data: (\d+)/g)) assert.equal(bytes, "0");
  });

  test(`openssl s_client on the ${name}: no certificate, no connection (alert 116, certificate_required)`, async () => {
    const output = await openssl(target(name));
    assert.match(output, /SSL alert number 116/);
    assert.doesNotMatch(output, /HTTP\/1\.1/);
  });

  test(`openssl s_client on the ${name}: TLS 1.0 to 1.2 are refused (alert 70, protocol_version)`, async () => {
    for (const version of ["-tls1", "-tls1_1", "-tls1_2"]) {
      // Security level 0: else this openssl would not even offer the old versions, and nothing were tested.
      const output = await openssl(
        target(name),
        version,
        "-cipher",
        "ALL:@SECLEVEL=0",
        ...WITH_CERTIFICATE(),
      );
      assert.match(output, /SSL alert number 70/, version);
      assert.match(output, /^New, \(NONE\), Cipher is \(NONE\)$/m, version);
    }
  });

  test(`the ${name} agrees on X25519MLKEM768 with a client that has it, and on X25519 or P-256 with one that has not`, async () => {
    for (const [offered, agreed] of [
      ["X25519MLKEM768:X25519:P-256", "X25519MLKEM768"],
      ["X25519MLKEM768", "X25519MLKEM768"],
      ["X25519", "X25519"],
      ["P-256", "prime256v1"],
    ] as const)
      assert.equal(await agreedGroup(target(name), offered), agreed, offered);
    await assert.rejects(agreedGroup(target(name), "P-521"), /handshake.failure/i);
    await postQuantumByOpenssl(target(name));
  });

  test(`sslyze on the ${name}, with a client certificate: TLS 1.3 only, sound ciphers and curves, nothing vulnerable`, async () => {
    assertSound(
      await sslyze(name, "certified", ["--cert", client.chain, "--key", client.key, ...SSLYZE_SCANS]),
    );
  });

  test(`sslyze on the ${name}, without: a client certificate is required, and SSL 2 is not there`, async () => {
    const { connectivity_result, scan_result } = await sslyze(name, "anonymous", ["--sslv2", "--tlsv1_3"]);
    assert.equal(connectivity_result.client_auth_requirement, "REQUIRED");
    assert.equal(completed(scan_result, "ssl_2_0_cipher_suites").is_tls_version_supported, false);
  });
}

test("testssl on the sidecar and the gateway: TLS 1.3 only, no finding but those about a public certificate", async () => {
  const scans = await Promise.all(targets.map(testssl));
  for (const findings of scans) assertTestsslSound(findings);
});

/** With Node's own client: Debian's openssl may be older than the group. */
async function agreedGroup(
  { host, port, serverName }: Target,
  ecdhCurve: string,
): Promise<string | undefined> {
  const socket: TLSSocket = connectTls({
    host,
    port,
    servername: serverName,
    ecdhCurve,
    minVersion: "TLSv1.3",
    key: readFileSync(client.key),
    cert: readFileSync(client.chain),
    ca: readFileSync(client.root),
    // By its identity below: SVIDs hold no DNS name.
    checkServerIdentity: () => undefined,
  });
  try {
    await withTimeout(
      new Promise((settle, reject) => socket.once("secureConnect", settle).once("error", reject)),
      10_000,
      "a handshake",
    );
    assert.match(
      socket.getPeerX509Certificate()?.subjectAltName ?? "",
      /^URI:spiffe:\/\/cluster\.local\/ns\//,
    );
    const info = socket.getEphemeralKeyInfo();
    return info !== null && "name" in info ? info.name : undefined;
  } finally {
    socket.on("error", () => {}).destroy();
  }
}

/** openssl 3.5 has ML-KEM; one that has not refuses the name before it connects. */
async function postQuantumByOpenssl(to: Target): Promise<void> {
  const { stdout } = await run(program("openssl"), ["version"]);
  const [, major = "0", minor = "0"] = /^OpenSSL (\d+)\.(\d+)/.exec(stdout) ?? [];
  const output = await openssl(to, "-groups", "X25519MLKEM768", ...WITH_CERTIFICATE());
  if (Number(major) * 100 + Number(minor) >= 305) assert.match(output, /^New, TLSv1\.3/m);
  else assert.match(output, /Error with command: "-groups|Call to SSL_CONF_cmd\(-groups/);
}

/** All that apply to TLS 1.3, and all that prove older ones absent. SSL 2 has a scan of its own: it cannot take a key on a curve. */
const SSLYZE_SCANS = [
  "--certinfo",
  "--sslv3",
  "--tlsv1",
  "--tlsv1_1",
  "--tlsv1_2",
  "--tlsv1_3",
  "--compression",
  "--openssl_ccs",
  "--fallback",
  "--heartbleed",
  "--robot",
  "--reneg",
  "--resum",
  "--elliptic_curves",
  "--ems",
];

type SslyzeScans = Readonly<Record<string, { readonly status: string; readonly result: unknown }>>;

interface SslyzeResult {
  readonly scan_status: string;
  readonly connectivity_result: Readonly<Record<string, unknown>>;
  readonly scan_result: SslyzeScans;
}

async function sslyze(name: string, kind: string, args: readonly string[]): Promise<SslyzeResult> {
  const { host, port, serverName } = target(name);
  const file = join(mesh.folder, `sslyze-${name}-${kind}.json`);
  const finished = await run(
    program("sslyze"),
    [...args, "--sni", serverName, "--json_out", file, `${host}:${port}`],
    { timeoutMs: 180_000 },
  );
  assertRan("sslyze", finished);
  const { server_scan_results } = JSON.parse(readFileSync(file, "utf8")) as {
    server_scan_results: readonly SslyzeResult[];
  };
  const [result] = server_scan_results;
  assert.equal(result?.scan_status, "COMPLETED", finished.stdout);
  return result;
}

function assertRan(name: string, { code, stdout, stderr }: Finished): void {
  assert.notEqual(code, null, `${name} did not end:\n${stdout}\n${stderr}`);
}

/** A scan that did not run to its end has found nothing out. */
function completed(scans: SslyzeScans, name: string): Readonly<Record<string, unknown>> {
  const scan = scans[name];
  assert.equal(scan?.status, "COMPLETED", name);
  return scan?.result as Readonly<Record<string, unknown>>;
}

function namesOf(value: unknown): readonly string[] {
  return (value as readonly { name?: string; cipher_suite?: { name: string } }[])
    .map(({ name, cipher_suite }) => name ?? cipher_suite?.name ?? "")
    .sort();
}

function assertSound({ connectivity_result, scan_result }: SslyzeResult): void {
  assert.equal(connectivity_result.highest_tls_version_supported, "TLS_1_3");
  for (const version of ["ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2"])
    assert.equal(completed(scan_result, `${version}_cipher_suites`).is_tls_version_supported, false, version);
  assert.deepEqual(namesOf(completed(scan_result, "tls_1_3_cipher_suites").accepted_cipher_suites), [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
  ]);
  assert.deepEqual(namesOf(completed(scan_result, "elliptic_curves").supported_curves), [
    "X25519",
    "secp256r1",
  ]);
  assert.equal(completed(scan_result, "tls_compression").supports_compression, false);
  assert.equal(completed(scan_result, "openssl_ccs_injection").is_vulnerable_to_ccs_injection, false);
  assert.equal(completed(scan_result, "tls_fallback_scsv").supports_fallback_scsv, true);
  assert.equal(completed(scan_result, "heartbleed").is_vulnerable_to_heartbleed, false);
  assert.equal(completed(scan_result, "robot").robot_result, "NOT_VULNERABLE_RSA_NOT_SUPPORTED");
  const renegotiation = completed(scan_result, "session_renegotiation");
  assert.equal(renegotiation.is_vulnerable_to_client_renegotiation_dos, false);
  assert.equal(renegotiation.supports_secure_renegotiation, true);
  const resumption = completed(scan_result, "session_resumption");
  assert.equal(resumption.session_id_resumption_result, "SERVER_IS_TLS_1_3_ONLY");
  assertChain(completed(scan_result, "certificate_info"));
}

function assertChain(info: Readonly<Record<string, unknown>>): void {
  const [deployment, ...others] = info.certificate_deployments as readonly {
    received_chain_has_valid_order: boolean;
    received_certificate_chain: readonly {
      public_key: { ec_curve_name: string };
      signature_hash_algorithm: { name: string };
    }[];
  }[];
  assert.deepEqual(others, []);
  assert.equal(deployment?.received_chain_has_valid_order, true);
  assert.deepEqual(
    deployment?.received_certificate_chain.map(
      ({ public_key, signature_hash_algorithm }) =>
        `${public_key.ec_curve_name} ${signature_hash_algorithm.name}`,
    ),
    ["secp256r1 sha256", "secp256r1 sha256"],
  );
}

interface TestsslFinding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

/** Protocols, ciphers, forward secrecy, preferences, defaults, vulnerabilities: all but simulated browsers. */
const TESTSSL_CHECKS = ["-p", "-s", "-f", "-P", "-S", "-U"];

/**
 * testssl 3.0 knows no client certificates. Without one its first connection, by openssl, ends in our alert or before it, as it
 * happens, and then testssl gives up: so its openssl gets the certificate by itself.
 */
function opensslWithCertificate(): string {
  const file = join(mesh.folder, "openssl-with-certificate");
  const script = `#!/bin/sh
case "$1" in
s_client) shift; exec ${program("openssl")} s_client ${WITH_CERTIFICATE().join(" ")} "$@" ;;
esac
exec ${program("openssl")} "$@"
`;
  writeFileSync(file, script, { mode: 0o755 });
  return file;
}

async function testssl({ name, host, port, serverName }: Target): Promise<readonly TestsslFinding[]> {
  const file = join(mesh.folder, `testssl-${name}.json`);
  const options = [
    "--quiet",
    "--color",
    "0",
    "--warnings",
    "batch",
    "--jsonfile",
    file,
    "--ip",
    host,
    "--openssl",
    opensslWithCertificate(),
  ];
  const finished = await run(program("testssl"), [...options, ...TESTSSL_CHECKS, `${serverName}:${port}`], {
    timeoutMs: 400_000,
  });
  assertRan("testssl", finished);
  const findings = JSON.parse(readFileSync(file, "utf8")) as readonly TestsslFinding[];
  assert.ok(findings.length > 60, `testssl told little about the ${name}:\n${finished.stdout}`);
  return findings;
}

/**
 * What testssl expects of a web site's certificate and a workload's is not: names in the DNS, trust by browsers, months of
 * life, a CRL's address (a certificate of hours is let to expire; see docs/identity.md).
 */
const PUBLIC_WEB_ONLY: ReadonlySet<string> = new Set([
  "cert_trust",
  "cert_chain_of_trust",
  "cert_expirationStatus",
  "cert_notAfter",
  "cert_revocation",
  "cert_crlDistributionPoints",
  "DNS_CAArecord",
]);
const WEAK: ReadonlySet<string> = new Set(["LOW", "MEDIUM", "HIGH", "CRITICAL"]);

function assertTestsslSound(findings: readonly TestsslFinding[]): void {
  const weak = findings.filter(({ id, severity }) => WEAK.has(severity) && !PUBLIC_WEB_ONLY.has(id));
  assert.deepEqual(weak, []);
  // A scan that lost its connection half-way reports fewer things, not worse ones.
  assert.deepEqual(
    findings.filter(({ id, severity }) => severity === "FATAL" || id === "scanProblem"),
    [],
  );
  const said = new Map(findings.map(({ id, finding }) => [id, finding]));
  for (const version of ["SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2"])
    assert.match(said.get(version) ?? "", /^not offered/, version);
  assert.match(said.get("TLS1_3") ?? "", /^offered/);
  for (const weakness of [
    "heartbleed",
    "CCS",
    "secure_renego",
    "secure_client_renego",
    "CRIME_TLS",
    "POODLE_SSL",
  ])
    assert.match(said.get(weakness) ?? "", /^not vulnerable|^TLS 1\.3 only server$/, weakness);
  assert.equal(said.get("PFS_ECDHE_curves"), "prime256v1 X25519");
}
