/** Drives the program that sends and takes packets in one network namespace. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { NetworkProtocol } from "../../../src/policy/network/connection-set.ts";
import { NETNS_FOLDER } from "../../../src/substrate/netns/names.ts";
import { program } from "../programs.ts";

/** One connection, or datagram, that is to be tried. */
export interface Probe {
  readonly id: number;
  readonly protocol: NetworkProtocol;
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly port: number;
}

export type ServedPorts = Readonly<Record<NetworkProtocol, readonly number[]>>;

const FIRST_PORT = 10_000;
const LAST_PORT = 60_000;

export class PacketAgent {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #got = new Set<number>();
  readonly #ready: Promise<void>;
  #forgotten: () => void = () => {};
  #error = "";
  #port = FIRST_PORT;

  constructor(namespace: string, addresses: readonly string[], ports: ServedPorts) {
    this.#child = spawn(program("nsenter"), [
      `--net=${NETNS_FOLDER}/${namespace}`,
      program("python3"),
      join(import.meta.dirname, "packet-agent.py"),
      addresses.join(","),
      ...Object.entries(ports).map(([protocol, own]) => `${protocol.toLowerCase()}=${own.join(",")}`),
    ]);
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#error = `${this.#error}${text}`.slice(-2000);
    });
    this.#child.stdin.on("error", () => {});
    const lines = createInterface({ input: this.#child.stdout });
    this.#ready = new Promise((settle, reject) => {
      this.#child.on("close", () => reject(new Error(`the agent in ${namespace} ended: ${this.#error}`)));
      lines.on("line", (line) => {
        const { ready, got, forgotten } = JSON.parse(line) as Message;
        if (ready === true) settle();
        if (forgotten === true) this.#forgotten();
        for (const id of got ?? []) this.#got.add(id);
      });
    });
  }

  ready(): Promise<void> {
    return this.#ready;
  }

  /** Which probes were answered, so far. */
  get got(): ReadonlySet<number> {
    return this.#got;
  }

  /** A port that no probe of this agent had for a long time: the kernel knows nothing of the connection. */
  freshPort(): number {
    this.#port = this.#port === LAST_PORT ? FIRST_PORT : this.#port + 1;
    return this.#port;
  }

  send(probes: readonly Probe[]): void {
    const own = probes.map(({ id, protocol, source, sourcePort, destination, port }) => [
      id,
      protocol.toLowerCase(),
      source,
      sourcePort,
      destination,
      port,
    ]);
    this.#write({ send: own });
  }

  /** Lets go of what is open: nothing is sent any more. */
  async forget(): Promise<void> {
    const told = new Promise<void>((settle) => {
      this.#forgotten = settle;
    });
    this.#write({ forget: true });
    await told;
    this.#got.clear();
  }

  end(): void {
    this.#child.kill("SIGKILL");
  }

  #write(message: unknown): void {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
  }
}

interface Message {
  readonly ready?: boolean;
  readonly got?: readonly number[];
  readonly forgotten?: boolean;
}
