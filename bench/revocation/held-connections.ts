import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { OUTBOUND_PROXY_PORT } from "../../src/model/placement.ts";
import type { RevocationMesh } from "./mesh.ts";

/** A live connection to the server. */
export interface Held {
  readonly way: "sidecar" | "stolen";
  /** By performance.now(); undefined while it lives. */
  endedMs: number | undefined;
}

const LEDGER_PORT = 9000;
const ECHO_INTERVAL_MS = 1000;

/** Opens so many as a workload, half of each way, a few at a time; each has been answered once. */
export async function holdConnections(
  mesh: RevocationMesh,
  workload: string,
  count: number,
): Promise<readonly Held[]> {
  const { keyPem: key, chainPem: cert } = await mesh.steal(workload);
  const ledger = mesh.pod("bank/ledger").address;
  const held: Held[] = [];
  for (let opened = 0; opened < count; opened++) {
    const isStolen = opened % 2 === 1;
    const socket = isStolen
      ? connectTls({
          host: ledger,
          port: LEDGER_PORT,
          key,
          cert,
          rejectUnauthorized: false,
          ALPNProtocols: ["istio"],
        })
      : await throughSidecar(mesh, workload);
    held.push(await hold(socket, isStolen ? "stolen" : "sidecar"));
  }
  return held;
}

async function throughSidecar(mesh: RevocationMesh, workload: string): Promise<Socket> {
  const { address, outboundSecret } = mesh.pod(workload);
  const socket = connect(OUTBOUND_PROXY_PORT, address);
  const credential = Buffer.from(`bulwark:${outboundSecret}`).toString("base64");
  const authority = `ledger.bank:${LEDGER_PORT}`;
  socket.write(
    `CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\nproxy-authorization: Basic ${credential}\r\n\r\n`,
  );
  const head = await answer(socket);
  if (!head.includes(" 200 ")) throw new Error(`the sidecar of ${workload} refused: ${head}`);
  return socket;
}

async function hold(socket: Socket, way: Held["way"]): Promise<Held> {
  const held: Held = { way, endedMs: undefined };
  socket.write("1");
  await answer(socket);
  const timer = setInterval(() => socket.write("1"), ECHO_INTERVAL_MS);
  // Both come after the last byte; the first to come is the end.
  const ended = () => {
    clearInterval(timer);
    held.endedMs ??= performance.now();
  };
  socket
    .on("data", () => {})
    .on("error", ended)
    .on("end", ended)
    .on("close", ended);
  return held;
}

function answer(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    const gone = () => reject(new Error("the connection ended before an answer"));
    socket.once("data", (chunk: Buffer) => {
      socket.off("error", gone).off("close", gone);
      resolve(chunk.toString("latin1"));
    });
    socket.once("error", gone).once("close", gone);
  });
}
