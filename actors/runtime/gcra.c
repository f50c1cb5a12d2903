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
 * used up is at most burst * period_us. */
const char gcra_script[] =
    "local time = redis.call('TIME')\n"
    "local now = time[1] * 1000000 + time[2]\n"
    "local granted = tonumber(ARGV[1])\n"
    "local rules = {}\n"
    "for i = 1, #KEYS do\n"
    "  local at = 4 * i - 2\n"
    "  local rule = {count = tonumber(ARGV[at]), period = tonumber(ARGV[at + 1])}\n"
    "  rule.all = tonumber(ARGV[at + 2]) * rule.period\n"
    "  rule.used = tonumber(ARGV[at + 3]) * rule.period\n"
    "  local tat, rest = string.match(redis.call('GET', KEYS[i]) or '', '^(%d+):(%d+)$')\n"
    "  if tat and tonumber(tat) >= now then\n"
    "    rule.used = math.max(rule.used, (tat - now) * rule.count + rest)\n"
    "  end\n"
    "  rule.used = math.min(rule.used, rule.all)\n"
    "  granted = math.min(granted, math.floor((rule.all - rule.used) / rule.period))\n"
    "  rules[i] = rule\n"
    "end\n"
    "local answer = {granted}\n"
    "for i, rule in ipairs(rules) do\n"
    "  local used = rule.used + granted * rule.period\n"
    "  local left = rule.all - used\n"
    "  local ahead = math.floor(used / rule.count)\n"
    "  if used > 0 then\n"
    "    local held = string.format('%.0f:%.0f', now + ahead, used - ahead * rule.count)\n"
    "    redis.call('SET', KEYS[i], held, 'PX', math.floor(ahead / 1000) + 1)\n"
    "  end\n"
    "  table.insert(answer, math.floor(left / rule.period))\n"
    "  table.insert(answer, math.ceil(used / rule.count))\n"
    "  table.insert(answer, math.max(0, math.ceil((rule.period - left) / rule.count)))\n"
    "end\n"
    "return answer\n";
