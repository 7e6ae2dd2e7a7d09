import assert from "node:assert/strict";
import { test } from "node:test";
import { grpcAnswer } from "../../src/dataplane/grpc-answer.ts";

test("grpcAnswer() is one head of HTTP 200 with gRPC's status; what has no counterpart is UNKNOWN", () => {
  const statuses = [400, 401, 403, 404, 429, 502, 503, 504, 200, 302, 418, 500];
  assert.deepEqual(
    statuses.map((status) => grpcAnswer(status, {}, "")["grpc-status"]),
    ["13", "16", "7", "12", "14", "14", "14", "14", "2", "2", "2", "2"],
  );
  const head = grpcAnswer(403, { "x-why": "a", "content-type": "text/plain" }, "");
  assert.deepEqual(head, {
    ":status": 200,
    "content-type": "application/grpc",
    "grpc-status": "7",
    "x-why": "a",
  });
});

test("grpcAnswer() tells the body as grpc-message, octet by octet where it is not printable ASCII", () => {
  const { "grpc-message": message } = grpcAnswer(403, {}, "no: 100% é\n");
  assert.equal(message, "no: 100%25 %C3%A9%0A");
  assert.equal(decodeURIComponent(String(message)), "no: 100% é\n");
});
