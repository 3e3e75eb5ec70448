// SPDX-License-Identifier: BSD-2-Clause
// Steers to our sockets what is addressed to us, and nothing else: TCP to one of our addresses and
// ports, and ICMP errors about what we sent. Everything else goes to the kernel as before, so the
// host keeps its address, ping, ssh, ARP and routing.
//
// A frame is ours if
//  - its destination is the interface's own MAC address,
//  - it has no VLAN tag, or, if the port is a VLAN's, one tag, of this VLAN,
//  - its destination address is one of ours, its protocol TCP or UDP, and its port in the port map.
// IPv6 extension headers are followed as far as kHeadersMax. Fragments of such segments are
// dropped and counted: RFC 9293 leaves reassembly to IP, and ours does none; the kernel would
// answer them with a reset.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char steer_license[] SEC("license") = "Dual BSD/GPL";

#define QUEUES_MAX 64
#define ADDRESSES_MAX 256
#define HEADERS_MAX 4

/* RFC 792, RFC 4443: the same for both; what an error quotes follows. */
struct icmp {
  __u8 type;
  __u8 code;
  __u16 checksum;
  __u32 rest;
};

/* IEEE 802.1Q */
struct tag {
  __be16 control;
  __be16 type;
};

struct address {
  __u8 octets[16]; /* IPv4 as ::ffff:a.b.c.d */
};

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, QUEUES_MAX);
  __type(key, __u32);
  __type(value, __u32);
} sockets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, ADDRESSES_MAX);
  __type(key, struct address);
  __type(value, __u8);
} addresses SEC(".maps");

/* What the program counts; enum Count in steering.h names them. */
enum { COUNT_REDIRECTED, COUNT_FRAGMENT, COUNT_NO_SOCKET, COUNTS };

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, COUNTS);
  __type(key, __u32);
  __type(value, __u64);
} counts SEC(".maps");

/* The MAC address may change while the program runs. */
__u8 mac[6];
__u16 vlan; /* 0: frames without a tag */
/* One bit for each TCP port that is ours; changed at any time. The same for UDP. */
__u64 ports[65536 / 64];
__u64 udp_ports[65536 / 64];

static __always_inline void count(__u32 what) {
  __u64* value = bpf_map_lookup_elem(&counts, &what);
  if (value) ++*value;
}

static __always_inline int ours(__u16 port_be) {
  const __u32 port = bpf_ntohs(port_be);
  return (ports[(port >> 6) & 1023] >> (port & 63)) & 1;
}

static __always_inline int udp_ours(__u16 port_be) {
  const __u32 port = bpf_ntohs(port_be);
  return (udp_ports[(port >> 6) & 1023] >> (port & 63)) & 1;
}

static __always_inline int local(const struct address* address) {
  return bpf_map_lookup_elem(&addresses, address) != 0;
}

static __always_inline void map_v4(struct address* to, __u32 v4) {
  __builtin_memset(to, 0, sizeof *to);
  to->octets[10] = to->octets[11] = 0xff;
  __builtin_memcpy(&to->octets[12], &v4, 4);
}

static __always_inline int redirect(struct xdp_md* ctx) {
  const int action = bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
  count(action == XDP_REDIRECT ? COUNT_REDIRECTED : COUNT_NO_SOCKET);
  return action;
}

/* The ports of a TCP header at `at`; its first 8 bytes are all that ICMP guarantees. */
static __always_inline int ports_at(const void* at, const void* end, __u16* source,
                                    __u16* destination) {
  const __u16* header = at;
  if ((const void*)(header + 4) > end) return 0;
  *source = header[0];
  *destination = header[1];
  return 1;
}

static __always_inline int icmp_about_us_v4(const void* at, const void* end) {
  const struct icmp* icmp = at;
  if ((const void*)(icmp + 1) > end) return 0;
  /* Unreachable, time exceeded, parameter problem. */
  if (icmp->type != 3 && icmp->type != 11 && icmp->type != 12) return 0;
  const struct iphdr* inner = (const void*)(icmp + 1);
  if ((const void*)(inner + 1) > end || inner->protocol != IPPROTO_TCP) return 0;
  __u16 source, destination;
  const __u32 length = (inner->ihl & 15) * 4;
  return ports_at((const void*)inner + length, end, &source, &destination) && ours(source);
}

static __always_inline int icmp_about_us_v6(const void* at, const void* end) {
  const struct icmp* icmp = at;
  if ((const void*)(icmp + 1) > end || icmp->type < 1 || icmp->type > 4) return 0;
  const struct ipv6hdr* inner = (const void*)(icmp + 1);
  if ((const void*)(inner + 1) > end || inner->nexthdr != IPPROTO_TCP) return 0;
  __u16 source, destination;
  return ports_at(inner + 1, end, &source, &destination) && ours(source);
}

static __always_inline int steer_v4(struct xdp_md* ctx, const void* at, const void* end) {
  const struct iphdr* ip = at;
  if ((const void*)(ip + 1) > end || ip->version != 4 || ip->ihl < 5) return XDP_PASS;
  if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_ICMP && ip->protocol != IPPROTO_UDP) {
    return XDP_PASS;
  }
  struct address to;
  map_v4(&to, ip->daddr);
  if (!local(&to)) return XDP_PASS;
  const void* payload = at + (ip->ihl & 15) * 4;
  if (ip->protocol == IPPROTO_ICMP) {
    return icmp_about_us_v4(payload, end) ? redirect(ctx) : XDP_PASS;
  }
  __u16 source, destination;
  if (ip->protocol == IPPROTO_UDP) {
    /* Datagrams in fragments are for the kernel, which puts them together. */
    if (ip->frag_off & bpf_htons(0x3fff)) return XDP_PASS;
    const int there = ports_at(payload, end, &source, &destination);
    return there && udp_ours(destination) ? redirect(ctx) : XDP_PASS;
  }
  /* Of later fragments nothing tells the port; without the first they never become a segment. */
  if (ip->frag_off & bpf_htons(0x1fff)) return XDP_PASS;
  if (!ports_at(payload, end, &source, &destination) || !ours(destination)) return XDP_PASS;
  if (ip->frag_off & bpf_htons(0x2000)) {
    count(COUNT_FRAGMENT);
    return XDP_DROP;
  }
  return redirect(ctx);
}

static __always_inline int steer_v6(struct xdp_md* ctx, const void* at, const void* end) {
  const struct ipv6hdr* ip = at;
  if ((const void*)(ip + 1) > end || ip->version != 6) return XDP_PASS;
  struct address to;
  __builtin_memcpy(&to, &ip->daddr, sizeof to);
  if (!local(&to)) return XDP_PASS;
  __u8 next = ip->nexthdr;
  const void* payload = ip + 1;
  int fragment = 0;
  for (int i = 0; i < HEADERS_MAX; ++i) {
    if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
        next != IPPROTO_FRAGMENT) {
      break;
    }
    const __u8* header = payload;
    if ((const void*)(header + 8) > end) return XDP_PASS;
    if (next == IPPROTO_FRAGMENT) {
      if ((header[2] | (header[3] & 0xf8)) != 0) return XDP_PASS; /* a later one */
      fragment = header[3] & 1; /* of one piece: RFC 6946 */
      payload += 8;
    } else {
      payload += 8 + header[1] * 8;
    }
    next = header[0];
  }
  if (next == IPPROTO_ICMPV6) return icmp_about_us_v6(payload, end) ? redirect(ctx) : XDP_PASS;
  __u16 source, destination;
  if (next == IPPROTO_UDP) {
    const int there = !fragment && ports_at(payload, end, &source, &destination);
    return there && udp_ours(destination) ? redirect(ctx) : XDP_PASS;
  }
  if (next != IPPROTO_TCP) return XDP_PASS;
  if (!ports_at(payload, end, &source, &destination) || !ours(destination)) return XDP_PASS;
  if (fragment) {
    count(COUNT_FRAGMENT);
    return XDP_DROP;
  }
  return redirect(ctx);
}

SEC("xdp")
int steer(struct xdp_md* ctx) {
  const void* data = (const void*)(long)ctx->data;
  const void* end = (const void*)(long)ctx->data_end;
  const struct ethhdr* ethernet = data;
  if ((const void*)(ethernet + 1) > end) return XDP_PASS;
  for (int i = 0; i < 6; ++i) {
    if (ethernet->h_dest[i] != mac[i]) return XDP_PASS;
  }
  const void* packet = ethernet + 1;
  __be16 type = ethernet->h_proto;
  if (vlan != 0) {
    const struct tag* tag = packet;
    if (type != bpf_htons(ETH_P_8021Q) || (const void*)(tag + 1) > end) return XDP_PASS;
    if ((bpf_ntohs(tag->control) & 0xfff) != vlan) return XDP_PASS;
    type = tag->type;
    packet = tag + 1;
  }
  if (type == bpf_htons(ETH_P_IP)) return steer_v4(ctx, packet, end);
  if (type == bpf_htons(ETH_P_IPV6)) return steer_v6(ctx, packet, end);
  return XDP_PASS;
}
