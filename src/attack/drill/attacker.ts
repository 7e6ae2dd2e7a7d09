import type { TLSSocket } from "node:tls";
import { parseAnswers } from "../http-answer.ts";
import { HTTP1_ALPN, isFromApplication, requestBytes } from "../mesh-request.ts";
import type { Credentials } from "../mesh-under-attack.ts";
import type { AskedRequest } from "../promise.ts";
import { type Address, converse, dialTls } from "../wire.ts";

/** Whether an attempt got an answer of the application, and what came instead. */
export interface Tried {
  readonly reached: boolean;
  readonly happened: string;
}

const FIRST_ANSWER_MS = 5000;

/** What a thief needs to go on. Plain data: it is handed to another process. */
export interface TheftPlan {
  /** The victim's server. */
  readonly host: string;
  readonly port: number;
  /** Where the thief comes from. */
  readonly from: Pick<Address, "localAddress" | "inside">;
  readonly credentials: Credentials;
  readonly request: AskedRequest;
}

/** A thief with a certificate that is not its own, at an address that is none of the victim's. */
export class Attacker {
  readonly #plan: TheftPlan;
  #kept: TLSSocket | undefined;
  #session: Buffer | undefined;

  constructor(plan: TheftPlan) {
    this.#plan = plan;
  }

  /** Settles when the connection that is kept open has ended. */
  get cut(): Promise<void> {
    const kept = this.#kept;
    if (kept === undefined || kept.destroyed) return Promise.resolve();
    return new Promise((resolve) => kept.once("close", () => resolve()));
  }

  /** Makes a request on a connection that it keeps, and takes the ticket to resume its session by. */
  async use(): Promise<Tried> {
    const dialled = await this.#dial();
    if ("failure" in dialled) return { reached: false, happened: dialled.failure };
    const { socket } = dialled;
    this.#kept = socket;
    socket
      .on("error", () => {})
      .on("session", (session: Buffer) => {
        this.#session = session;
      });
    const bytes = await firstAnswer(socket, requestBytes(this.#plan.request, ""));
    return judge(bytes, "no answer");
  }

  /** A new connection with the same certificate, and with `resume` by the session of before. */
  async tryAgain(resume: boolean): Promise<Tried> {
    if (resume && this.#session === undefined) return { reached: false, happened: "no ticket was given" };
    const dialled = await this.#dial(resume ? this.#session : undefined);
    if ("failure" in dialled) return { reached: false, happened: dialled.failure };
    const { bytes, error } = await converse(dialled.socket, { say: [requestBytes(this.#plan.request)] });
    return judge(bytes, error ?? "closed without a byte");
  }

  close(): void {
    this.#kept?.destroy();
  }

  #dial(session?: Buffer) {
    const { host, port, from, credentials } = this.#plan;
    return dialTls(
      { host, port, ...from },
      {
        credentials,
        ALPNProtocols: [...HTTP1_ALPN],
        ...(session === undefined ? {} : { session }),
      },
    );
  }
}

function judge(bytes: Buffer, otherwise: string): Tried {
  const answers = parseAnswers(bytes);
  const [answer] = answers;
  return {
    reached: answers.some(isFromApplication),
    happened: answer === undefined ? otherwise : `HTTP ${answer.status}`,
  };
}

/** Without ending the connection, as `converse` would. */
function firstAnswer(socket: TLSSocket, request: Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0);
    const end = () => {
      clearTimeout(timer);
      socket.off("data", onData).off("close", end);
      socket.resume();
      resolve(bytes);
    };
    const onData = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (parseAnswers(bytes).length > 0) end();
    };
    const timer = setTimeout(end, FIRST_ANSWER_MS);
    socket.on("data", onData).once("close", end);
    socket.write(request);
  });
}
