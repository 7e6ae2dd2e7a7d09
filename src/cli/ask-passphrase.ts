import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { BulwarkError } from "../resources/bulwark-error.ts";

/** Asks at the terminal, showing nothing of what is typed. @throws {BulwarkError} BW_CLI_INPUT where there is no terminal, or nothing was typed. */
export async function askPassphrase(question: string): Promise<string> {
  if (!process.stdin.isTTY)
    throw new BulwarkError(
      "BW_CLI_INPUT",
      "there is no terminal to ask for the passphrase at: use file:PATH",
    );
  process.stderr.write(question);
  const nothing = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: nothing, terminal: true });
  const passphrase = await lines.question("");
  lines.close();
  process.stderr.write("\n");
  if (passphrase === "") throw new BulwarkError("BW_CLI_INPUT", "the passphrase is empty");
  return passphrase;
}
