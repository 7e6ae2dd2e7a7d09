import { EXIT } from "./exit-code.ts";

let react: () => void = () => process.exit(EXIT.ok);

/** Watches for the reader of our output (`head`, a pager, a closed terminal) going away: that is no failure. */
export function watchOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", onError);
}

/** What to do then, instead of ending at once: a command that has started others must stop them first. */
export function whenReaderGone(reaction: () => void): void {
  react = reaction;
}

function onError(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE" && error.code !== "EIO") throw error;
  react();
}
