/**
 * What issuing a certificate costs beside Go doing the same: `node bench/signing/main.ts [--rounds N] [--certificates N] [--burst N]`.
 * Processor time, rounds interleaved in one run, ratios taken within a round. Then how a burst of requests delays the event loop. Needs Go.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { encodePem } from "../../src/identity/pem.ts";
import { measureBurst } from "./burst.ts";
import { GoIssuer } from "./go-issuer.ts";
import { issueMany, issueOne, microsEach, prepare, type Work } from "./issuing.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "15" },
    certificates: { type: "string", default: "2000" },
    burst: { type: "string", default: "10000" },
  },
});
const rounds = Number(values.rounds);
const certificates = Number(values.certificates);
const TARGET = 1.3;

type Contender = readonly [name: string, run: () => Promise<number>];

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "bulwark-bench-signing-"));
  const work = prepare();
  const [first = Buffer.alloc(0)] = work.requests;
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const ours = encodePem("CERTIFICATE", await issueOne(work, first, true));
  const go = new GoIssuer([
    file("ca.pem", work.caPem),
    file("requests.pem", work.requestsPem),
    work.identity,
    file("ours.pem", ours),
  ]);
  try {
    report(await interleave(contenders(work, go)));
    opensslFloor();
  } finally {
    await go.end();
  }
  await measureBurst(join(folder, "ca"), work.requests, Number(values.burst));
  rmSync(folder, { recursive: true, force: true });
}

function contenders(work: Work, go: GoIssuer): readonly Contender[] {
  return [
    ["Go: ParseCertificateRequest, CheckSignature, CreateCertificate", () => go.issue(certificates)],
    ["ours: request verified, certificate issued", () => issueMany(work, certificates, false)],
    ["ours, with what was signed read back and verified", () => issueMany(work, certificates, true)],
    ["floor: one bare sign and one bare verify of node:crypto", async () => floor(work)],
  ];
}

function floor(work: Work): number {
  const before = process.cpuUsage();
  for (let i = 0; i < certificates; i++) work.floor();
  return microsEach(before, certificates);
}

/** The first two rounds warm up: compiled code settles after some thousand certificates. */
async function interleave(all: readonly Contender[]): Promise<ReadonlyMap<string, readonly number[]>> {
  const found = new Map<string, number[]>(all.map(([name]) => [name, []]));
  for (let round = -2; round < rounds; round++)
    for (const [name, run] of all) {
      const micros = await run();
      if (round >= 0) found.get(name)?.push(micros);
    }
  return found;
}

function report(found: ReadonlyMap<string, readonly number[]>): void {
  const [processor] = cpus();
  console.log(
    `${new Date().toISOString()}, Node ${process.version}, ${cpus().length} × ${processor?.model.trim()}, load ${loadavg()[0]?.toFixed(1)}; ` +
      `${rounds} interleaved rounds of ${certificates} certificates, P-256, medians\n\n` +
      `| | CPU µs each | Go ÷ this (least … most) |\n|---|---:|---:|`,
  );
  const [yardstick = []] = found.values();
  for (const [name, micros] of found) {
    const ratios = micros.map((own, round) => (yardstick[round] ?? Number.NaN) / own).sort((a, b) => a - b);
    const spread = `**${median(ratios).toFixed(2)}** (${ratios[0]?.toFixed(2)} … ${ratios.at(-1)?.toFixed(2)})`;
    const isTarget = name.startsWith("ours: ");
    const isMet = median(ratios) >= TARGET;
    const verdict = isTarget ? `, target ${TARGET}: ${isMet ? "met" : "MISSED"}` : "";
    if (isTarget && !isMet) process.exitCode = 1;
    console.log(
      `| ${name} | ${median(micros).toFixed(1)} | ${micros === yardstick ? 1 : spread + verdict} |`,
    );
  }
}

/** The machine's own OpenSSL, which may be another version than Node's. */
function opensslFloor(): void {
  const text = execFileSync("openssl", ["speed", "-mr", "-seconds", "1", "ecdsap256"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [, , , sign, verify] = /^\+F4:.*$/m.exec(text)?.[0].split(":") ?? [];
  // Some versions print seconds for one operation, others operations in a second.
  const micros = (figure: string | undefined) => {
    const value = Number(figure);
    return value < 1 ? value * 1e6 : 1e6 / value;
  };
  const version = execFileSync("openssl", ["version"], { encoding: "utf8" }).trim();
  console.log(
    `\nopenssl speed ecdsap256 (${version}): sign ${micros(sign).toFixed(1)} µs, verify ${micros(verify).toFixed(1)} µs, together ${(micros(sign) + micros(verify)).toFixed(1)} µs`,
  );
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
}

await main();
