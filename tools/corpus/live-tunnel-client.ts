/** A client of HBONE with a certificate of any name: what a ztunnel of another node would be to ours. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { connect as connectTcp } from "node:net";
import { connect as connectTls, type SecureContext, type TLSSocket } from "node:tls";

const TIMEOUT_MS = 5000;
const HBONE_PORT = 15008;

export interface TunnelDial {
  readonly from: string;
  readonly address: string;
  readonly port: number;
  readonly context: SecureContext;
}

export interface TunnelAnswer {
  /** Of the CONNECT; 0: the connection was closed before. */
  readonly status: number;
  readonly timedOut: boolean;
}

/** Asks for a tunnel, sends through it, and hears it out. Never rejects. */
export function tunnelled(dial: TunnelDial, bytes: Buffer): Promise<TunnelAnswer> {
  return new Promise((resolve) => {
    let status = 0;
    let session: ClientHttp2Session | undefined;
    const socket = secured(dial);
    const finish = (timedOut: boolean): void => {
      clearTimeout(timer);
      session?.destroy();
      socket.destroy();
      resolve({ status, timedOut });
    };
    const timer = setTimeout(() => finish(true), TIMEOUT_MS);
    socket.on("error", ignore).once("close", () => finish(false));
    socket.once("secureConnect", () => {
      session = connect("https://hbone", { createConnection: () => socket });
      session.on("error", ignore);
      const stream = ask(session, dial);
      stream.once("response", (head) => {
        status = Number(head[":status"] ?? 0);
        if (status === 200) stream.end(bytes);
      });
      stream.once("close", () => finish(false));
    });
  });
}

function secured({ from, address, context }: TunnelDial): TLSSocket {
  const raw = connectTcp({ host: address, port: HBONE_PORT, localAddress: from, noDelay: true });
  raw.on("error", ignore);
  return connectTls({
    socket: raw,
    secureContext: context,
    ALPNProtocols: ["h2"],
    servername: "",
    rejectUnauthorized: false,
  });
}

function ask(session: ClientHttp2Session, { address, port }: TunnelDial): ClientHttp2Stream {
  const authority = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  const stream = session.request({ ":method": "CONNECT", ":authority": authority }, { endStream: false });
  stream.on("error", ignore).resume();
  return stream;
}

function ignore(): void {}
