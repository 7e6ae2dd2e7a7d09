import { liveAmbientRunner } from "./live-ambient.ts";
import { liveInboundRunner } from "./live-inbound.ts";
import { liveOutboundRunner } from "./live-outbound.ts";
import type { CorpusRunner } from "./runner.ts";

/** One line for each corpus. */
export const LIVE_RUNNERS: readonly CorpusRunner[] = [
  liveInboundRunner,
  liveOutboundRunner,
  liveAmbientRunner,
];
