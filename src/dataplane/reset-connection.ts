import type { Socket } from "node:net";

/**
 * Ends a connection so that nothing more of it arrives: a plain close lets the kernel go on sending what it holds, which for a client that
 * reads slowly was 3.8 MB, a reset drops that. Not to be called from a callback of the socket under a TLS socket.
 *
 * Node offers a reset for TCP sockets but not for TLS over them; the handles' properties have been there since TLSWrap came (0.12), and
 * test/dataplane/revocation.test.ts fails if they go: the connection is then closed in the plain way.
 */
export function resetConnection(socket: Socket): void {
  const { _handle: handle } = socket as unknown as { readonly _handle?: Handle | null };
  const tcp = handle?._parent ?? handle;
  if (typeof tcp?.reset === "function") closeByReset(tcp, tcp.reset);
  socket.destroy();
}

/**
 * Event of a socket that was reset: whoever holds it may act at once. `close` comes only when OpenSSL has let go of the connection, 0.2 ms each, and of a
 * thousand that are cut together after that of all those before it.
 */
export const CUT = "cut";

interface Handle {
  readonly _parent?: Handle;
  readonly reset?: (done: () => void) => number;
  close?: (done: () => void) => void;
}

/** In the place of its close, so that all that Node does when a socket is destroyed still takes its course. */
function closeByReset(tcp: Handle, reset: (done: () => void) => number): void {
  const { close } = tcp;
  tcp.close = (done) => {
    // Refused while the connection's own end is on its way out: then there is nothing to drop.
    if (reset.call(tcp, done) !== 0) close?.call(tcp, done);
  };
}
