/** A client of tunnels that says exactly what it is told to: for what no ztunnel would ever ask. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type OutgoingHttpHeaders,
} from "node:http2";
import type { TestContext } from "node:test";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { type Svid, tlsCredentials } from "../../../src/identity/rotation.ts";
import { CertificateForge } from "../../../tools/corpus/live-certificates.ts";

export interface Asked {
  readonly status: number;
  readonly stream: ClientHttp2Stream;
}

export class HboneClient {
  readonly session: ClientHttp2Session;

  private constructor(session: ClientHttp2Session) {
    this.session = session;
  }

  static async connect(
    context: TestContext,
    svid: Svid,
    { host, from }: { readonly host: string; readonly from: string },
  ): Promise<HboneClient> {
    const socket = await secured({ ...tlsCredentials(svid), host, localAddress: from, port: 15008 });
    const session = connect("https://hbone", { createConnection: () => socket });
    session.on("error", ignore);
    context.after(() => session.destroy());
    return new HboneClient(session);
  }

  /** No more than TLS. */
  static secured(
    svid: Svid,
    { host, from }: { readonly host: string; readonly from: string },
  ): Promise<TLSSocket> {
    return secured({ ...tlsCredentials(svid), host, localAddress: from, port: 15008 });
  }

  /** Without a certificate. @throws what the server's refusal is seen as. */
  static async without(host: string, from: string): Promise<void> {
    await heard(await secured({ host, localAddress: from, port: 15008 }));
  }

  /** With a certificate of an authority that nobody trusts. */
  static async foreign(host: string, from: string, name: string): Promise<void> {
    const secureContext = CertificateForge.alone().context([name]);
    await heard(await secured({ host, localAddress: from, port: 15008, secureContext }));
  }

  ask(authority: string): Promise<Asked> {
    return this.request({ ":method": "CONNECT", ":authority": authority });
  }

  request(headers: OutgoingHttpHeaders): Promise<Asked> {
    const stream = this.session.request(headers, { endStream: false });
    return new Promise((resolve, reject) => {
      stream.once("response", ({ ":status": status = 0 }) => resolve({ status, stream }));
      stream.once("error", reject);
      stream.once("close", () => reject(new Error("closed without an answer")));
    });
  }
}

function secured(options: ConnectionOptions & { readonly localAddress: string }): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      ...options,
      ALPNProtocols: ["h2"],
      rejectUnauthorized: false,
      servername: "",
    });
    socket.on("error", reject).once("secureConnect", () => resolve(socket));
  });
}

/** TLS 1.3: the client's side ends before the server has judged its certificate. */
function heard(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.on("error", reject).once("close", () => reject(new Error("closed")));
    socket.once("data", () => resolve());
  });
}

function ignore(): void {}
