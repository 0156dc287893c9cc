// What an address says of who can use it. Ranges: RFC 1918 and 4193 (a house), RFC 6598 (as VPN meshes use it),
// RFC 3927 and 4291 (one cable, this very computer).

const RANGES = [
  ["self", /^(?:127\.|::1$)/],
  ["vpn", /^(?:100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|fd7a:115c:a1e0:)/i],
  ["house", /^(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|f[cd][0-9a-f]{2}:)/i],
  ["cable", /^(?:169\.254\.|fe[89ab][0-9a-f]:)/i],
];
const BEST_FIRST = ["internet", "name", "house", "vpn", "cable", "self", "other"];
const ADDRESS = /^\/(ip4|ip6|dns|dns4|dns6|dnsaddr)\/([^/]+)(?:\/(tcp|udp)\/(\d+))?/;

/** `{kind, place}` of a multiaddr: who can use it, and host and port as people write them. */
export function reachOf(address) {
  const [, family, host, , port] = ADDRESS.exec(address) ?? [];
  if (!host) return { kind: "other", place: address };
  const place = port ? `${family === "ip6" ? `[${host}]` : host}:${port}` : host;
  if (family.startsWith("dns")) return { kind: "name", place };
  return { kind: RANGES.find(([, range]) => range.test(host))?.[0] ?? "internet", place };
}

/** Addresses with their reach, those that most can use first. */
export function byReach(addresses) {
  const found = addresses.map((address) => ({ address, ...reachOf(address) }));
  return found.sort((one, other) => BEST_FIRST.indexOf(one.kind) - BEST_FIRST.indexOf(other.kind));
}

/** Whether nobody but programs of this computer can use any of them. */
export const onlyHere = (addresses) => addresses.every((address) => reachOf(address).kind === "self");
