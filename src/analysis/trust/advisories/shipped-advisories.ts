/** The advisories that Bulwark ships. */
import shipped from "../../../../data/advisories.json" with { type: "json" };
import { type AdvisoryData, parseAdvisories } from "./advisory.ts";

/** @throws {Error} when the shipped file is not valid, which its test rules out */
export function shippedAdvisories(): AdvisoryData {
  const parsed = parseAdvisories(shipped);
  if (!parsed.ok) throw new Error(`BUG: the advisories that are shipped: ${parsed.problems.join("; ")}`);
  return parsed.data;
}
