/* See egress.h. */
#include "runtime/egress.h"

#include "runtime/base/number.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

struct block4 {
    uint32_t network;
    unsigned bits;
};

/* IANA IPv4 special-purpose registry, multicast and the reserved rest. */
static const struct block4 refused4[] = {
    {0x00000000, 8},  /* 0.0.0.0/8: this network */
    {0x0a000000, 8},  /* 10.0.0.0/8: private */
    {0x64400000, 10}, /* 100.64.0.0/10: carrier-grade NAT */
    {0x7f000000, 8},  /* 127.0.0.0/8: loopback */
    {0xa9fe0000, 16}, /* 169.254.0.0/16: link-local, metadata services */
    {0xac100000, 12}, /* 172.16.0.0/12: private */
    {0xc0000000, 24}, /* 192.0.0.0/24: protocol assignments */
    {0xc0000200, 24}, /* 192.0.2.0/24: documentation */
    {0xc0586300, 24}, /* 192.88.99.0/24: 6to4 relays */
    {0xc0a80000, 16}, /* 192.168.0.0/16: private */
    {0xc6120000, 15}, /* 198.18.0.0/15: benchmarks */
    {0xc6336400, 24}, /* 198.51.100.0/24: documentation */
    {0xcb007100, 24}, /* 203.0.113.0/24: documentation */
    {0xe0000000, 4},  /* 224.0.0.0/4: multicast */
    {0xf0000000, 4},  /* 240.0.0.0/4: reserved, broadcast */
};

struct block6 {
    uint8_t prefix[16];
    unsigned bits;
};

/* Inside 2000::/3, the only part that is global unicast. */
static const struct block6 refused6[] = {
    {{0x20, 0x01, 0x00}, 23},             /* 2001::/23: protocol assignments, Teredo, ORCHID */
    {{0x20, 0x01, 0x0d, 0xb8}, 32},       /* 2001:db8::/32: documentation */
    {{0x3f, 0xff, 0x00}, 20},             /* 3fff::/20: documentation */
    {{0x26, 0x20, 0, 0x4f, 0x80, 0}, 48}, /* 2620:4f:8000::/48: AS112 */
};

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* ::ffff:0:0/96 */
static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};    /* 64:ff9b::/96 */
static const uint8_t global6[1] = {0x20};                     /* 2000::/3 */
static const uint8_t six_to_four[2] = {0x20, 0x02};           /* 2002::/16 */

static bool same_bits(const uint8_t *one, const uint8_t *other, unsigned bits)
{
    unsigned whole = bits / 8;
    unsigned rest = bits % 8;
    if (memcmp(one, other, whole) != 0) {
        return false;
    }
    return rest == 0 || ((one[whole] ^ other[whole]) >> (8 - rest)) == 0;
}

static bool global4(const uint8_t bytes[4])
{
    uint32_t address =
        (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    for (size_t i = 0; i < sizeof refused4 / sizeof *refused4; i++) {
        if ((address ^ refused4[i].network) >> (32 - refused4[i].bits) == 0) {
            return false;
        }
    }
    return true;
}

static bool is_global(const uint8_t bytes[16])
{
    if (same_bits(bytes, mapped, 96) || same_bits(bytes, nat64, 96)) {
        return global4(bytes + 12);
    }
    if (same_bits(bytes, six_to_four, 16)) {
        return global4(bytes + 2);
    }
    if (!same_bits(bytes, global6, 3)) {
        return false;
    }
    for (size_t i = 0; i < sizeof refused6 / sizeof *refused6; i++) {
        if (same_bits(bytes, refused6[i].prefix, refused6[i].bits)) {
            return false;
        }
    }
    return true;
}

static bool bytes_of(const struct sockaddr *address, uint8_t bytes[16])
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        memcpy(bytes, mapped, sizeof mapped);
        memcpy(bytes + 12, &in.sin_addr, 4);
        return true;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        memcpy(bytes, &in6.sin6_addr, 16);
        return true;
    }
    return false;
}

bool egress_allows_address(const struct egress_policy *policy, const struct sockaddr *address)
{
    uint8_t bytes[16];
    if (!bytes_of(address, bytes)) {
        return false;
    }
    for (size_t i = 0; i < policy->rules_count; i++) {
        if (same_bits(bytes, policy->rules[i].network, policy->rules[i].bits)) {
            return true;
        }
    }
    return is_global(bytes);
}

bool egress_allows_port(const struct egress_policy *policy, unsigned port)
{
    if (port == 443 || (port == 80 && policy->http)) {
        return true;
    }
    for (size_t i = 0; i < policy->ports_count; i++) {
        if (policy->ports[i] == port) {
            return true;
        }
    }
    return false;
}

/* The next part of a list joined by commas, without blanks; false at the end. */
static bool next_part(const char **text, char *part, size_t size)
{
    const char *at = *text;
    while (isspace((unsigned char)*at) || *at == ',') {
        at++;
    }
    size_t length = strcspn(at, ",");
    *text = at + length;
    while (length > 0 && isspace((unsigned char)at[length - 1])) {
        length--;
    }
    snprintf(part, size, "%.*s", (int)length, at);
    return length > 0;
}

static int parse_rule(const char *part, struct egress_rule *rule_out)
{
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchr(part, '/');
    size_t length = slash == NULL ? strlen(part) : (size_t)(slash - part);
    int64_t bits = -1;
    if (length >= sizeof host ||
        (slash != NULL && number_parse(slash + 1, strlen(slash + 1), &bits) != 0)) {
        return -1;
    }
    snprintf(host, sizeof host, "%.*s", (int)length, part);
    *rule_out = (struct egress_rule){.bits = 128};
    if (inet_pton(AF_INET6, host, rule_out->network) == 1) {
        rule_out->bits = slash == NULL ? 128 : (unsigned)bits;
        return bits <= 128 ? 0 : -1;
    }
    memcpy(rule_out->network, mapped, sizeof mapped);
    if (inet_pton(AF_INET, host, rule_out->network + 12) != 1 || bits > 32) {
        return -1;
    }
    rule_out->bits = 96 + (slash == NULL ? 32 : (unsigned)bits);
    return 0;
}

int egress_parse_rules(struct egress_policy *policy, const char *text, struct error *err)
{
    char part[80];
    size_t count = 0;
    struct egress_rule rules[EGRESS_RULES_MAX];
    while (next_part(&text, part, sizeof part)) {
        if (count == EGRESS_RULES_MAX) {
            return error_set(err, "more than %d networks", EGRESS_RULES_MAX);
        }
        if (parse_rule(part, &rules[count++]) != 0) {
            return error_set(err, "%s is no network", part);
        }
    }
    memcpy(policy->rules, rules, count * sizeof *rules);
    policy->rules_count = count;
    return 0;
}

int egress_parse_ports(struct egress_policy *policy, const char *text, struct error *err)
{
    char part[80];
    size_t count = 0;
    uint16_t ports[EGRESS_PORTS_MAX];
    while (next_part(&text, part, sizeof part)) {
        int64_t port;
        if (count == EGRESS_PORTS_MAX) {
            return error_set(err, "more than %d ports", EGRESS_PORTS_MAX);
        }
        if (number_parse(part, strlen(part), &port) != 0 || port < 1 || port > 65535) {
            return error_set(err, "%s is no port", part);
        }
        ports[count++] = (uint16_t)port;
    }
    memcpy(policy->ports, ports, count * sizeof *ports);
    policy->ports_count = count;
    return 0;
}
