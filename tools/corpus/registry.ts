import { ambientRunner } from "./ambient.ts";
import { inboundRunner } from "./inbound.ts";
import { outboundRunner } from "./outbound.ts";
import type { CorpusRunner } from "./runner.ts";

/** One line for each corpus. */
export const RUNNERS: readonly CorpusRunner[] = [inboundRunner, outboundRunner, ambientRunner];
