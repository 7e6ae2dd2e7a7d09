import { BulwarkError, type BulwarkErrorCode } from "../resources/bulwark-error.ts";

const CODE = /^BW_[A-Z0-9_]{1,60}$/;

/** An error that the world caused, with its code: a BulwarkError, or one of a room that has its own class with such codes. */
export function operationalCode(error: unknown): BulwarkErrorCode | undefined {
  if (error instanceof BulwarkError) return error.code;
  const code = error instanceof Error ? (error as Error & { code?: unknown }).code : undefined;
  return typeof code === "string" && CODE.test(code) ? (code as BulwarkErrorCode) : undefined;
}
