import { once } from "node:events";
import { createServer, Socket } from "node:net";
import { openCa } from "../../src/identity/ca.ts";
import { parseTrustDomain, workloadSpiffeId } from "../../src/model/spiffe-id.ts";
import { microsEach } from "./issuing.ts";

/**
 * A burst of requests to a whole CA (authenticity of the caller aside: verify, issue, read back, record on the disk), while a connection of the same process
 * sends a byte to and fro: how long a round trip takes before and during the burst.
 */
export async function measureBurst(
  stateDir: string,
  requests: readonly Buffer[],
  count: number,
): Promise<void> {
  const trustDomain = parseTrustDomain("cluster.local");
  if (trustDomain === undefined) throw new Error("BUG: no trust domain");
  const ca = await openCa(stateDir, { trustDomain });
  const verifiedIdentity = workloadSpiffeId(trustDomain, "finance", "account-auditor");
  const issueOne = (i: number) => {
    const csr = requests[i % requests.length] ?? Buffer.alloc(0);
    return ca.issue({ csr, verifiedIdentity, ttlSeconds: 0 });
  };
  for (let i = 0; i < 200; i++) await issueOne(i);
  const echo = await Echo.open();
  const quiet = await echo.until(new Promise((done) => setTimeout(done, 1000)));
  const before = process.cpuUsage();
  const started = performance.now();
  const burst = Promise.all(Array.from({ length: count }, (_, i) => issueOne(i)));
  const busy = await echo.until(burst);
  const seconds = (performance.now() - started) / 1000;
  const micros = microsEach(before, count);
  echo.close();
  await ca.close();
  console.log(
    `\n${count} requests at once: ${seconds.toFixed(2)} s, ${micros.toFixed(0)} µs of CPU each, record and echo included\n\n` +
      "| round trip of a byte in the same process, ms | p50 | p99 | worst | round trips |\n|---|---:|---:|---:|---:|\n" +
      `${row("before the burst", quiet)}\n${row("during the burst", busy)}`,
  );
}

function row(name: string, samples: readonly number[]): string {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (part: number) => (sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN).toFixed(2);
  return `| ${name} | ${at(0.5)} | ${at(0.99)} | ${at(1)} | ${samples.length} |`;
}

/** A connection to itself. */
class Echo {
  readonly #close: () => void;
  readonly #socket: Socket;

  private constructor(socket: Socket, close: () => void) {
    this.#socket = socket;
    this.#close = close;
  }

  static async open(): Promise<Echo> {
    const server = createServer((peer) => peer.setNoDelay(true).pipe(peer));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("BUG: no port");
    const socket = new Socket().setNoDelay(true).connect(address.port, "127.0.0.1");
    await once(socket, "connect");
    return new Echo(socket, () => {
      socket.destroy();
      server.close();
    });
  }

  /** Round trips, one after the other, until the work is done. @returns milliseconds each. */
  async until(work: Promise<unknown>): Promise<readonly number[]> {
    const samples: number[] = [];
    let over = false;
    const end = () => {
      over = true;
    };
    void work.then(end, end);
    while (!over) {
      const started = performance.now();
      this.#socket.write("x");
      await once(this.#socket, "data");
      samples.push(performance.now() - started);
    }
    await work;
    return samples;
  }

  close(): void {
    this.#close();
  }
}
