import { inboundRunner } from "./inbound.ts";
import type { CorpusRunner } from "./runner.ts";

/** One line for each corpus. */
export const RUNNERS: readonly CorpusRunner[] = [inboundRunner];
