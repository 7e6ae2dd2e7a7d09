import { createSocket } from "node:dgram";
import { isIPv4 } from "node:net";

const TIMEOUT_MS = 2000;

/**
 * Asks a DNS server over UDP, from a port of its own for each query: an answer that nobody asked for finds nobody.
 * @param open a UDP socket, bound to a port of its own, as a file descriptor: where the query is to leave from another network.
 * @throws when no answer comes in two seconds.
 */
export function forwardQuery(server: string, query: Buffer, open?: () => number): Promise<Buffer> {
  const socket = createSocket(isIPv4(server) ? "udp4" : "udp6");
  return new Promise<Buffer>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no answer")), TIMEOUT_MS);
    socket.once("close", () => clearTimeout(timer));
    socket.on("error", reject);
    socket.on("message", (answer) => {
      if (answer.length >= 12 && answer.readUInt16BE(0) === query.readUInt16BE(0)) resolve(answer);
    });
    if (open !== undefined) socket.bind({ fd: open() });
    socket.connect(53, server, () => socket.send(query));
  }).finally(() => socket.close());
}
