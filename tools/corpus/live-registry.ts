import { liveInboundRunner } from "./live-inbound.ts";
import type { CorpusRunner } from "./runner.ts";

/** One line for each corpus. */
export const LIVE_RUNNERS: readonly CorpusRunner[] = [liveInboundRunner];
