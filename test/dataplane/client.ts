/** Small raw clients, so that tests see exactly what was on the wire. */
import { connect, type Socket } from "node:net";
import { OUTBOUND_PROXY_PORT } from "../../src/model/placement.ts";
import { type RunningPod, SECRET } from "./mesh-fixture.ts";

export interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** One request as an application would make it with HTTP_PROXY set. */
export function callThroughSidecar(
  from: RunningPod,
  method: string,
  url: string,
  options: { readonly secret?: string; readonly headers?: string; readonly body?: string } = {},
): Promise<Answer> {
  const { host } = new URL(url);
  const credential = Buffer.from(`bulwark:${options.secret ?? SECRET}`).toString("base64");
  const body = options.body ?? "";
  const length = body === "" && method === "GET" ? "" : `content-length: ${Buffer.byteLength(body)}\r\n`;
  const socket = connect(OUTBOUND_PROXY_PORT, from.pod.address);
  const head = `${method} ${url} HTTP/1.1\r\nhost: ${host}\r\nproxy-authorization: Basic ${credential}\r\nconnection: close\r\n${length}${options.headers ?? ""}\r\n`;
  socket.write(head + body, "latin1");
  return readAnswer(socket).finally(() => socket.destroy());
}

export function requestOverTls(socket: Socket, bytes: string): Promise<Answer> {
  socket.write(bytes, "latin1");
  return readAnswer(socket);
}

/** The next response on a connection: by its Content-Length or chunks, or to the end. */
export function readAnswer(socket: Socket): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let text = "";
    const onData = (chunk: Buffer) => {
      text += chunk.toString("latin1");
      const answer = parseAnswer(text, false);
      if (answer !== undefined) finish(answer);
    };
    const onClose = () => finish(parseAnswer(text, true) ?? { status: 0, head: text, body: "" });
    const finish = (answer: Answer) => {
      socket.off("data", onData).off("close", onClose).off("error", reject);
      resolve(answer);
    };
    socket.on("data", onData).on("close", onClose).on("error", reject);
  });
}

function parseAnswer(text: string, ended: boolean): Answer | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = text.slice(0, end);
  const status = Number(head.split(" ", 2)[1]);
  if (status >= 100 && status < 200) return parseAnswer(text.slice(end + 4), ended);
  const rest = text.slice(end + 4);
  const length = /^content-length: (\d+)/im.exec(head)?.[1];
  if (length !== undefined)
    return rest.length >= Number(length) ? { status, head, body: rest.slice(0, Number(length)) } : undefined;
  if (/^transfer-encoding: chunked/im.test(head))
    return rest.endsWith("0\r\n\r\n") ? { status, head, body: unchunk(rest) } : undefined;
  return ended ? { status, head, body: rest } : undefined;
}

function unchunk(text: string): string {
  let out = "";
  for (let at = 0; ; ) {
    const lineEnd = text.indexOf("\r\n", at);
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    if (size === 0) return out;
    out += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}
