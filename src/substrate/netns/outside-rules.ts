/**
 * The counter at the far end: what arrived outside, by the address that it came from. A witness that the firewall is not
 * its own judge of.
 */
export function outsideRules(): string {
  return `
table inet bulwark {}
delete table inet bulwark
table inet bulwark {
  set arrived_4 { type ipv4_addr; flags dynamic; size 65535; }
  set arrived_6 { type ipv6_addr; flags dynamic; size 65535; }
  chain arrived {
    type filter hook prerouting priority raw; policy accept;
    iifname != "eth0" accept
    ip saddr 169.254.0.0/16 accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld2-listener-report } accept
    update @arrived_4 { ip saddr counter }
    update @arrived_6 { ip6 saddr counter }
  }
}
`;
}
