import type { Socket } from "node:net";

/** What to make of the first bytes: a result, or undefined to wait for more. `closed`: nothing more will come. */
export type Judge<T> = (bytes: Buffer, state: "open" | "timed-out" | "ended") => T | undefined;

/** More than this without a judgement is taken as it is. */
const MAX_BYTES = 64 * 1024;
const NOTHING = Buffer.alloc(0);

/**
 * Looks at the first bytes of a connection and puts them back, so that whoever takes it over reads them again.
 * A client that sends nothing in time is judged on what there is (nothing: a server-first protocol).
 * @param timeoutMs 0 = wait for ever.
 * @param done called once, with the judgement (undefined when the connection closed before there was any), and the bytes
 *   that could not be put back because the client has ended.
 */
export function judgeFirstBytes<T>(
  socket: Socket,
  timeoutMs: number,
  judge: Judge<T>,
  done: (result: T | undefined, unread: Buffer) => void,
): void {
  let seen: Buffer = Buffer.alloc(0);
  let settled = false;
  const timer = timeoutMs > 0 ? setTimeout(() => finish(judge(seen, "timed-out")), timeoutMs) : undefined;
  const onReadable = () => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const result = judge(seen, seen.length >= MAX_BYTES ? "timed-out" : "open");
    if (result !== undefined) finish(result);
  };
  const onEnd = () => finish(judge(seen, "ended"));
  const onClose = () => finish(undefined);
  socket.on("readable", onReadable).once("end", onEnd).once("close", onClose);
  onReadable();

  function finish(result: T | undefined): void {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    socket.off("readable", onReadable).off("end", onEnd).off("close", onClose);
    const ended = socket.readableEnded;
    if (seen.length > 0 && !ended) socket.unshift(seen);
    done(result, ended ? seen : NOTHING);
  }
}
