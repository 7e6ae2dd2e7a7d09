/** One unary gRPC call by hand, so that a test can send what no library would. */
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { type ConnectionOptions, connect as connectTls } from "node:tls";

export const CREATE_CERTIFICATE = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

export interface UnaryAnswer {
  /** gRPC's number of the status. */
  readonly status: number;
  readonly message: string;
  readonly body: Buffer;
}

export interface UnaryCall {
  readonly port: number;
  readonly tls: ConnectionOptions;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly isCompressed?: boolean;
}

export async function unaryCall({
  port,
  tls,
  headers = {},
  body,
  isCompressed = false,
}: UnaryCall): Promise<UnaryAnswer> {
  const socket = connectTls({ host: "127.0.0.1", port, ALPNProtocols: ["h2"], ...tls });
  const session = connectHttp2(`https://localhost:${port}`, { createConnection: () => socket });
  try {
    return await answerOf(session, headers, body, isCompressed);
  } finally {
    session.destroy();
    socket.destroy();
  }
}

function answerOf(
  session: ClientHttp2Session,
  headers: Readonly<Record<string, string>>,
  body: Buffer,
  isCompressed: boolean,
): Promise<UnaryAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<UnaryAnswer>();
  session.on("error", reject);
  const stream = session.request({
    ":method": "POST",
    ":path": CREATE_CERTIFICATE,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  const chunks: Buffer[] = [];
  let ended: IncomingHttpHeaders = {};
  stream.on("response", (first) => {
    ended = first;
  });
  stream.on("trailers", (last) => {
    ended = last;
  });
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("error", reject);
  stream.on("close", () =>
    resolve({
      status: Number(ended["grpc-status"]),
      message: decodeURIComponent(String(ended["grpc-message"] ?? "")),
      body: Buffer.concat(chunks).subarray(5),
    }),
  );
  const prefix = Buffer.alloc(5);
  prefix[0] = isCompressed ? 1 : 0;
  prefix.writeUInt32BE(body.length, 1);
  stream.end(Buffer.concat([prefix, body]));
  return promise;
}
