/** Who tells of packets that the firewall outside of the pods dropped. */
export const NETWORK_REPORTER = "bulwark/network";
