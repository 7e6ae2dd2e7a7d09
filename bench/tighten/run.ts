/** `tighten MESH FLOWS OUT` in this process, and what it took, as JSON on standard error: seconds of processor, and the most memory in MB. */
import { runTighten } from "../../src/cli/run-tighten.ts";

const [mesh = "", flows = "", out = ""] = process.argv.slice(2);
process.exitCode = await runTighten([mesh], {
  flows: [flows],
  out,
  format: "text",
  semantics: "istio",
  inactive: "keep",
});
const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
process.stderr.write(
  `${JSON.stringify({ cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, megabytes: maxRSS / 1e3 })}\n`,
);
