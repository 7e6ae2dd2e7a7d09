/** Real HTTP servers of keys, well-behaved and not. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { SignJWT } from "jose";

export interface IssuerKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly jwk: Readonly<Record<string, unknown>>;
}

export function issuerKey(kid: string): IssuerKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { kid, privateKey, jwk: { ...publicKey.export({ format: "jwk" }), kid, alg: "ES256" } };
}

export function tokenOf(key: IssuerKey, claims: Readonly<Record<string, unknown>>): Promise<string> {
  return new SignJWT({ ...claims })
    .setProtectedHeader({ alg: "ES256", kid: key.kid })
    .setExpirationTime("1h")
    .sign(key.privateKey);
}

export const jwksOf = (...keys: readonly IssuerKey[]): string =>
  JSON.stringify({ keys: keys.map(({ jwk }) => jwk) });

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server whose behaviour can be changed while it runs. */
export class KeyServer {
  readonly #server: Server;
  /** Paths that were asked for. */
  readonly asked: string[] = [];
  answer: Answer;

  private constructor(answer: Answer) {
    this.answer = answer;
    this.#server = createServer((request, response) => {
      this.asked.push(request.url ?? "");
      response.on("error", () => {});
      this.answer(request, response);
    });
  }

  static async start(answer: Answer, port = 0): Promise<KeyServer> {
    const server = new KeyServer(answer);
    await new Promise<void>((listening) => server.#server.listen(port, "127.0.0.1", listening));
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  url(path = "/keys"): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** At once, with every connection. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((done) => this.#server.close(() => done()));
    this.#server.closeAllConnections();
    await closed;
  }
}

export const text =
  (body: string | (() => string), status = 200, headers: Readonly<Record<string, string>> = {}): Answer =>
  (_request, response) => {
    response.writeHead(status, { ...headers });
    response.end(typeof body === "string" ? body : body());
  };
