/*
 * See gcra.h. In units of 1/count microseconds everything is a whole number: what is used up is
 * (tat - now) * count + rest, one costs period_us, and burst * period_us is all there is.
 */
#include "runtime/gcra.h"

/* Never more than there is: a clock that went back must not shut anybody out for long. */
static int64_t used(const struct gcra *gcra, const struct gcra_rule *rule, int64_t now_us)
{
    int64_t all = rule->burst * rule->period_us;
    int64_t ahead_us = gcra->tat_us - now_us;
    if (ahead_us < 0) {
        return 0;
    }
    if (ahead_us > all / rule->count) {
        return all;
    }
    int64_t busy = ahead_us * rule->count + gcra->rest;
    return busy < all ? busy : all;
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

struct gcra_state gcra_look(const struct gcra *gcra, const struct gcra_rule *rule, int64_t now_us)
{
    int64_t busy = used(gcra, rule, now_us);
    int64_t left = rule->burst * rule->period_us - busy;
    int64_t missing = rule->period_us - left;
    return (struct gcra_state){.free = left / rule->period_us,
                               .reset_us = divide_up(busy, rule->count),
                               .retry_us = missing <= 0 ? 0 : divide_up(missing, rule->count)};
}

void gcra_charge(struct gcra *gcra, const struct gcra_rule *rule, int64_t now_us, int64_t cost)
{
    int64_t free = gcra_look(gcra, rule, now_us).free;
    int64_t after = used(gcra, rule, now_us) + (cost < free ? cost : free) * rule->period_us;
    gcra->tat_us = now_us + after / rule->count;
    gcra->rest = after % rule->count;
}

/* Numbers in Lua are doubles, exact to 2^53: microseconds since 1970 are below 2^51, and what is
 * used up is below burst * period_us + count. */
const char gcra_script[] =
    "local now = redis.call('TIME')\n"
    "now = now[1] * 1000000 + now[2]\n"
    "local granted = tonumber(ARGV[1])\n"
    "local used = {}\n"
    "for i = 1, #KEYS do\n"
    "  local count, period, burst = tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i]), "
    "tonumber(ARGV[3*i+1])\n"
    "  local held = redis.call('GET', KEYS[i])\n"
    "  used[i] = 0\n"
    "  if held then\n"
    "    local tat, rest = string.match(held, '^(%d+):(%d+)$')\n"
    "    if tat and tonumber(tat) >= now then\n"
    "      used[i] = math.min(burst * period, (tonumber(tat) - now) * count + tonumber(rest))\n"
    "    end\n"
    "  end\n"
    "  granted = math.min(granted, math.floor((burst * period - used[i]) / period))\n"
    "end\n"
    "local answer = {granted}\n"
    "for i = 1, #KEYS do\n"
    "  local count, period, burst = tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i]), "
    "tonumber(ARGV[3*i+1])\n"
    "  local after = used[i] + granted * period\n"
    "  local left = burst * period - after\n"
    "  local whole = math.floor(after / count)\n"
    "  if granted > 0 then\n"
    "    redis.call('SET', KEYS[i], string.format('%.0f:%.0f', now + whole, after - whole * "
    "count),\n"
    "               'PX', math.floor(whole / 1000) + 1)\n"
    "  end\n"
    "  answer[#answer + 1] = math.floor(left / period)\n"
    "  answer[#answer + 1] = math.ceil(after / count)\n"
    "  answer[#answer + 1] = math.max(0, math.ceil((period - left) / count))\n"
    "end\n"
    "return answer\n";
