import { suggestion } from "../did-you-mean.ts";
import { checkDuration } from "./duration.ts";
import { type Field, quoted } from "./field.ts";

const GRPC_STATUSES: readonly string[] = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "UNAUTHENTICATED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
];

/** Faults that a route puts in on purpose. */
export function checkFault(fault: Field): void {
  if (!fault.present) return;
  const abort = fault.at("abort");
  const delay = fault.at("delay");
  if (!abort.present && !delay.present)
    fault.error("BW1227_FAULT", `\`${fault.name}\` needs \`abort\` or \`delay\``);
  if (abort.present) checkAbort(abort);
  checkPercentage(delay.at("percentage", "value"));
  checkDuration(delay.at("fixedDelay"));
  if (delay.at("exponentialDelay").present) {
    checkDuration(delay.at("exponentialDelay"));
    delay
      .at("exponentialDelay")
      .errorAtKey("BW1227_FAULT", "`exponentialDelay` is not supported", "use `fixedDelay`");
  }
}

function checkAbort(abort: Field): void {
  checkPercentage(abort.at("percentage", "value"));
  const grpc = abort.at("grpcStatus");
  const http = abort.at("httpStatus");
  if (grpc.present && !GRPC_STATUSES.includes(grpc.text)) {
    const meant = suggestion(grpc.text, GRPC_STATUSES);
    grpc.error(
      "BW1227_FAULT",
      `${quoted(grpc.text)} is no gRPC status`,
      meant === "" ? "like `NOT_FOUND`" : meant,
    );
  }
  if (http.present && (http.number < 200 || http.number > 600)) {
    http.error("BW1227_FAULT", `\`${http.name}\` is ${quoted(http.value)}; it must be 200 to 599`);
  }
  if (abort.at("http2Error").present)
    abort.at("http2Error").errorAtKey("BW1227_FAULT", "`http2Error` is not supported");
  else if (!grpc.present && !http.present)
    abort.warning(
      "BW1309_ABORT_WITHOUT_STATUS",
      `\`${abort.name}\` says no status`,
      "set `httpStatus` or `grpcStatus`",
    );
}

function checkPercentage(value: Field): void {
  const percent = value.number;
  if (percent === 0 || (percent >= 0.0001 && percent <= 100)) return;
  value.error("BW1227_FAULT", `\`${value.name}\` is ${quoted(value.value)}; it must be 0, or 0.0001 to 100`);
}
