import { styleText } from "node:util";

type Format = Parameters<typeof styleText>[0];

/** Colour for a terminal; plain text into files and pipes, and under NO_COLOR (https://no-color.org). */
export function style(format: Format, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return isColoured(stream) ? styleText(format, text, { validateStream: false }) : text;
}

export function isColoured(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb";
}

/** Text from outside (names, messages) without control characters, which could drive a terminal. */
export function plain(text: string): string {
  return text.replace(/\p{Cc}/gu, "�");
}
