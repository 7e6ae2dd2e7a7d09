import { ServerInterceptingCall, type ServerInterceptor, status } from "@grpc/grpc-js";
import { BulwarkError } from "../../resources/bulwark-error.ts";

/**
 * Tells of calls that gRPC answers by itself, before the service has seen a message: one that is too large, compressed in a way that is not known, missing,
 * or not whole when its time is over.
 * @param onUnread gets the other end as gRPC names it; the call is answered whatever it does.
 */
export function unreadCalls(onUnread: (refusal: BulwarkError, peer: string) => void): ServerInterceptor {
  return (_method, call) => {
    let messages = 0;
    let ended = false;
    const answer = call.sendStatus.bind(call);
    // Below all interceptors, where gRPC's own answers go out, too.
    call.sendStatus = (answered) => {
      if (!ended || messages !== 1) onUnread(refusalOf(answered.code), call.getPeer());
      answer(answered);
    };
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMessage: (message, deliver) => {
            messages++;
            deliver(message);
          },
          onReceiveHalfClose: (deliver) => {
            ended = true;
            deliver();
          },
        }),
    });
  };
}

/** In words of ours: gRPC's repeat what the other end has sent. */
function refusalOf(code: status | null | undefined): BulwarkError {
  if (code === status.RESOURCE_EXHAUSTED)
    return new BulwarkError("BW_CA_MESSAGE_TOO_LARGE", "the message is larger than any request that is read");
  const why =
    code === status.DEADLINE_EXCEEDED
      ? "the message was not whole when the call's time was over"
      : "the call is not one message that can be decompressed";
  return new BulwarkError("BW_CA_MESSAGE_UNREADABLE", why);
}
