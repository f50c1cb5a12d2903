/*
 * Which addresses a fetch may reach: the guard against requests forged on our behalf (SSRF). Pure.
 *
 * What counts is the address of every connection that is about to be made, redirects included
 * (http_client.c asks at the moment the socket is opened), so neither spellings of a host nor a
 * changed DNS answer make a difference. Only global unicast is allowed: the IANA special-purpose
 * registries for IPv4 and IPv6 are refused, and addresses that carry an IPv4 address inside are
 * judged by that one.
 */
#ifndef SIGNALBOX_RUNTIME_EGRESS_H
#define SIGNALBOX_RUNTIME_EGRESS_H

#include "runtime/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { EGRESS_RULES_MAX = 32, EGRESS_PORTS_MAX = 16 };

/* A network that is allowed although it is not global. */
struct egress_rule {
    uint8_t network[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;       /* of these 128 */
};

/* Zero-initialised allows https on port 443 of global unicast addresses. */
struct egress_policy {
    bool http; /* plain http too */
    struct egress_rule rules[EGRESS_RULES_MAX];
    size_t rules_count;
    uint16_t ports[EGRESS_PORTS_MAX]; /* besides 443 (and 80 with `http`) */
    size_t ports_count;
};

/* "10.0.0.0/8, 127.0.0.1, fd00::/8": networks allowed besides. -1: malformed; err names the part.
 */
SB_MUST_CHECK int egress_parse_rules(struct egress_policy *policy, const char *text,
                                     struct error *err);
/* "8443, 9000". */
SB_MUST_CHECK int egress_parse_ports(struct egress_policy *policy, const char *text,
                                     struct error *err);
/* AF_INET and AF_INET6; anything else is refused. */
bool egress_allows_address(const struct egress_policy *policy, const struct sockaddr *address);
bool egress_allows_port(const struct egress_policy *policy, unsigned port);

#endif
