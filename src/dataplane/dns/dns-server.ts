import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { createServer, isIPv4, type Server, type Socket } from "node:net";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import {
  DNS_CODE,
  DNS_TYPE,
  type DnsQuestion,
  readDnsQuery,
  writeDnsAnswer,
  writeDnsRefusal,
} from "./dns-message.ts";

/** Addresses of a name, of both families; undefined: nobody here knows the name. */
export type LookUp = (name: string) => readonly string[] | undefined;

export interface DnsServerOptions {
  readonly addresses: readonly string[];
  readonly port: number;
  /** Sockets that somebody else has bound, as file descriptors: in the network of a pod. */
  readonly open?: {
    readonly udp: (address: string, port: number) => number;
    /** It listens. */
    readonly tcp: (address: string, port: number) => number;
  };
  readonly lookUp: LookUp;
  /** Asks another server; its answer is sent on as it is. Undefined: what nobody knows does not exist. */
  readonly forward: ((query: Buffer) => Promise<Buffer>) | undefined;
}

/** Without EDNS no client need take more (RFC 1035 §4.2.1). */
const MAX_UDP_BYTES = 512;
const MAX_TCP_BYTES = 65_535;
/** Short: a pod that comes and goes must not be looked for where it was. */
const TTL_SECONDS = 5;
/** A client that floods gets no answers beyond these; others go on. */
const MAX_FORWARDED = 256;
const MAX_TCP_CLIENTS = 64;
const TCP_IDLE_MS = 10_000;

/** A DNS server for addresses, over UDP and TCP. */
export class DnsServer {
  readonly #options: DnsServerOptions;
  readonly #udp: UdpSocket[] = [];
  readonly #tcp: Server[] = [];
  readonly #clients = new Set<Socket>();
  #forwarded = 0;

  constructor(options: DnsServerOptions) {
    this.#options = options;
  }

  /** @throws {BulwarkError} BW_LISTEN_FAILED */
  async listen(): Promise<void> {
    try {
      for (const address of this.#options.addresses) {
        await this.#listenUdp(address);
        await this.#listenTcp(address);
      }
    } catch (cause) {
      this.close();
      throw new BulwarkError("BW_LISTEN_FAILED", `DNS: ${(cause as Error).message}`, { cause });
    }
  }

  close(): void {
    for (const socket of this.#udp.splice(0)) socket.close();
    for (const server of this.#tcp.splice(0)) server.close();
    for (const client of this.#clients) client.destroy();
  }

  #listenUdp(address: string): Promise<void> {
    const socket = createSocket(isIPv4(address) ? { type: "udp4" } : { type: "udp6", ipv6Only: true });
    this.#udp.push(socket);
    socket.on("message", (query, from) => void this.#answerUdp(socket, query, from));
    return new Promise((resolve, reject) => {
      const { port, open } = this.#options;
      socket.once("error", reject);
      socket.bind(open === undefined ? { port, address } : { fd: open.udp(address, port) }, () => {
        socket.off("error", reject);
        // What a client's closed port sends back is nobody's concern here.
        socket.on("error", ignore);
        resolve();
      });
    });
  }

  async #answerUdp(socket: UdpSocket, query: Buffer, from: RemoteInfo): Promise<void> {
    const answer = await this.#answer(query, MAX_UDP_BYTES);
    if (answer === undefined) return;
    try {
      socket.send(answer, from.port, from.address, ignore);
    } catch {
      // Closed meanwhile.
    }
  }

  #listenTcp(address: string): Promise<void> {
    const server = createServer((socket) => this.#serveTcp(socket));
    server.maxConnections = MAX_TCP_CLIENTS;
    this.#tcp.push(server);
    return new Promise((resolve, reject) => {
      const { port, open } = this.#options;
      server.once("error", reject);
      server.listen(
        open === undefined ? { host: address, port, ipv6Only: true } : { fd: open.tcp(address, port) },
        () => {
          server.off("error", reject);
          server.on("error", ignore);
          resolve();
        },
      );
    });
  }

  /** Each message behind its length in two bytes (RFC 1035 §4.2.2), one at a time. */
  #serveTcp(socket: Socket): void {
    let seen: Buffer = Buffer.alloc(0);
    let isBusy = false;
    this.#clients.add(socket);
    socket.on("error", ignore).once("close", () => this.#clients.delete(socket));
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    const next = async (): Promise<void> => {
      if (isBusy || seen.length < 2 || seen.length < 2 + seen.readUInt16BE(0)) return;
      isBusy = true;
      socket.pause();
      const end = 2 + seen.readUInt16BE(0);
      const answer = await this.#answer(seen.subarray(2, end), MAX_TCP_BYTES);
      seen = seen.subarray(end);
      isBusy = false;
      if (answer === undefined || socket.destroyed) {
        socket.destroy();
        return;
      }
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      socket.write(Buffer.concat([length, answer]));
      socket.resume();
      void next();
    };
    socket.on("data", (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk]);
      void next();
    });
  }

  async #answer(message: Buffer, maxBytes: number): Promise<Buffer | undefined> {
    const query = readDnsQuery(message);
    if (query.kind === "ignore") return undefined;
    if (query.kind === "refuse") return writeDnsRefusal(query);
    const { question } = query;
    const known = this.#options.lookUp(question.name);
    if (known !== undefined)
      return writeDnsAnswer(question, DNS_CODE.ok, ofType(known, question.type), TTL_SECONDS, maxBytes);
    return this.#askOthers(message, question, maxBytes);
  }

  async #askOthers(message: Buffer, question: DnsQuestion, maxBytes: number): Promise<Buffer | undefined> {
    const { forward } = this.#options;
    if (forward === undefined) return writeDnsAnswer(question, DNS_CODE.noSuchName, [], 0, maxBytes);
    if (this.#forwarded >= MAX_FORWARDED)
      return writeDnsAnswer(question, DNS_CODE.serverFailure, [], 0, maxBytes);
    this.#forwarded += 1;
    try {
      return await forward(message);
    } catch {
      return writeDnsAnswer(question, DNS_CODE.serverFailure, [], 0, maxBytes);
    } finally {
      this.#forwarded -= 1;
    }
  }
}

function ofType(addresses: readonly string[], type: number): readonly string[] {
  if (type === DNS_TYPE.a) return addresses.filter((address) => isIPv4(address));
  return type === DNS_TYPE.aaaa ? addresses.filter((address) => !isIPv4(address)) : [];
}

function ignore(): void {}
