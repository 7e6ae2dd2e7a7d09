/** Where captured traffic comes in, and as whom the proxy runs: the numbers are Istio's. */
export const CAPTURED_OUTBOUND_PORT = 15001;
export const CAPTURED_INBOUND_PORT = 15006;
export const CAPTURED_DNS_PORT = 15053;
/** Uid and gid of proxies in their pods: their own traffic is not captured. */
export const PROXY_UID = 1337;

/**
 * From where the proxy hands connections to its application: what comes from here is not captured again, and cannot be
 * taken for a client of the pod's.
 */
export const HAND_OFF_ADDRESS = "127.0.0.6";
export const HAND_OFF_ADDRESS_6 = "::6";
