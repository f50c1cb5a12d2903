/* Which addresses and ports a request may reach: one line a case, both edges of each block. */
#include "runtime/egress.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

static bool allows(const struct egress_policy *policy, const char *text)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        return egress_allows_address(policy, (const struct sockaddr *)&in);
    }
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return egress_allows_address(policy, (const struct sockaddr *)&in6);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.0",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.0",
        "192.0.0.255",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::ffff:10.1.2.3",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:10::1",
        "2001:20::1",
        "2001:1ff:ffff::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2002:c0a8:101::1",
        "2620:4f:8000::1",
        "3fff::1",
        "3fff:fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
    };
    const struct egress_policy policy = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (allows(&policy, cases[i])) {
            fail_msg("%s is allowed", cases[i]);
        }
    }
}

static void test_allowed(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "1.0.0.0",         "1.1.1.1",         "9.255.255.255",
        "11.0.0.0",        "100.63.255.255",  "100.128.0.0",
        "126.255.255.255", "128.0.0.0",       "169.253.255.255",
        "169.255.0.0",     "172.15.255.255",  "172.32.0.0",
        "192.0.1.0",       "192.167.255.255", "192.169.0.0",
        "198.17.255.255",  "198.20.0.0",      "223.255.255.255",
        "2000::1",         "2001:200::1",     "2001:4860:4860::8888",
        "2002:808:808::1", "2606:4700::1111", "3ffe::1",
        "3fff:1000::1",    "::ffff:8.8.8.8",  "64:ff9b::808:808",
    };
    const struct egress_policy policy = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!allows(&policy, cases[i])) {
            fail_msg("%s is refused", cases[i]);
        }
    }
}

static void test_other_families_are_refused(void **state)
{
    (void)state;
    struct egress_policy policy = {0};
    struct error err;
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/x.sock"};
    assert_int_equal(egress_parse_rules(&policy, "0.0.0.0/0, ::/0", &err), 0);
    assert_false(egress_allows_address(&policy, (const struct sockaddr *)&un));
}

static void test_rules(void **state)
{
    (void)state;
    struct egress_policy policy = {0};
    struct error err;
    assert_int_equal(egress_parse_rules(&policy, " 10.1.0.0/16,192.168.7.3 ,fd00::/8,", &err), 0);
    assert_int_equal(policy.rules_count, 3);
    assert_true(allows(&policy, "10.1.255.255"));
    assert_true(allows(&policy, "::ffff:10.1.0.1"));
    assert_false(allows(&policy, "10.2.0.0"));
    assert_true(allows(&policy, "192.168.7.3"));
    assert_false(allows(&policy, "192.168.7.2"));
    assert_true(allows(&policy, "fd12::1"));
    assert_false(allows(&policy, "fe80::1"));
    assert_true(allows(&policy, "8.8.8.8"));
    static const char *const wrong[] = {"10.0.0.0/33", "::/129", "10.0.0/8",   "localhost",
                                        "10.0.0.0/",   "/8",     "10.0.0.0/-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(egress_parse_rules(&policy, wrong[i], &err), -1);
        assert_int_equal(policy.rules_count, 3); /* nothing changes */
    }
}

static void test_ports(void **state)
{
    (void)state;
    struct egress_policy policy = {0};
    struct error err;
    assert_true(egress_allows_port(&policy, 443));
    assert_false(egress_allows_port(&policy, 80));
    policy.http = true;
    assert_true(egress_allows_port(&policy, 80));
    assert_false(egress_allows_port(&policy, 22));
    assert_int_equal(egress_parse_ports(&policy, "8443, 9000", &err), 0);
    assert_true(egress_allows_port(&policy, 9000));
    assert_false(egress_allows_port(&policy, 5432));
    assert_int_equal(egress_parse_ports(&policy, "0", &err), -1);
    assert_int_equal(egress_parse_ports(&policy, "65536", &err), -1);
    assert_int_equal(egress_parse_ports(&policy, "https", &err), -1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_other_families_are_refused),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
