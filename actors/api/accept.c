/* See accept.h. */
#include "api/accept.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* Thousandths. */
enum { WEIGHT_MAX = 1000, WEIGHT_DIGITS = 3 };

/* How closely a range names an offer; the closest one decides, whatever weight the others have. */
enum closeness {
    CLOSENESS_NONE,
    CLOSENESS_ALL,
    CLOSENESS_TYPE,
    CLOSENESS_SUBTYPE,
    CLOSENESS_PARAMETER
};

struct text {
    const char *data;
    size_t length;
};

/* One element of the list. */
struct range {
    struct text type;
    struct text subtype;
    bool charset; /* it says charset=utf-8 */
    bool foreign; /* it says something else: no offer has that */
    int weight;
};

static bool is_token_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') ||
           (byte != '\0' && strchr("!#$%&'*+-.^_`|~", byte) != NULL);
}

static void skip_blanks(struct text *rest)
{
    while (rest->length > 0 && (*rest->data == ' ' || *rest->data == '\t')) {
        rest->data++;
        rest->length--;
    }
}

static bool take_byte(struct text *rest, char byte)
{
    if (rest->length == 0 || *rest->data != byte) {
        return false;
    }
    rest->data++;
    rest->length--;
    return true;
}

static bool take_token(struct text *rest, struct text *token_out)
{
    *token_out = (struct text){rest->data, 0};
    while (rest->length > 0 && is_token_byte(*rest->data)) {
        token_out->length++;
        rest->data++;
        rest->length--;
    }
    return token_out->length > 0;
}

/* A token, or what stands between quotes: escapes are left as they are. */
static bool take_value(struct text *rest, struct text *value_out)
{
    if (!take_byte(rest, '"')) {
        return take_token(rest, value_out);
    }
    *value_out = (struct text){rest->data, 0};
    while (rest->length > 0 && *rest->data != '"') {
        size_t step = *rest->data == '\\' && rest->length > 1 ? 2 : 1;
        value_out->length += step;
        rest->data += step;
        rest->length -= step;
    }
    return take_byte(rest, '"');
}

static bool is(struct text text, const char *word)
{
    return text.length == strlen(word) && strncasecmp(text.data, word, text.length) == 0;
}

/* "1", "0.5", "0.123"; -1: no weight. */
static int weight_of(struct text text)
{
    int weight = 0;
    int unit = WEIGHT_MAX / 10;
    if (text.length == 0 || (text.data[0] != '0' && text.data[0] != '1') ||
        text.length > 2 + WEIGHT_DIGITS || (text.length > 1 && text.data[1] != '.')) {
        return -1;
    }
    weight = text.data[0] == '1' ? WEIGHT_MAX : 0;
    for (size_t i = 2; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return -1;
        }
        weight += (text.data[i] - '0') * unit;
        unit /= 10;
    }
    return weight > WEIGHT_MAX ? -1 : weight;
}

/* What stands behind the weight belongs to an older grammar and says nothing. */
static bool take_parameters(struct text *rest, struct range *range)
{
    bool weighed = false;
    for (skip_blanks(rest); take_byte(rest, ';'); skip_blanks(rest)) {
        struct text name;
        struct text value = {0};
        skip_blanks(rest);
        if (rest->length == 0 || *rest->data == ';') {
            continue; /* empty parameters are allowed */
        }
        bool whole = take_token(rest, &name) && (weighed || take_byte(rest, '='));
        if (weighed && whole) {
            whole = !take_byte(rest, '=') || take_value(rest, &value);
            continue;
        }
        if (!whole || !take_value(rest, &value)) {
            return false;
        }
        if (is(name, "q")) {
            weighed = true;
            range->weight = weight_of(value);
            if (range->weight < 0) {
                return false;
            }
        } else if (is(name, "charset") && is(value, "utf-8")) {
            range->charset = true;
        } else {
            range->foreign = true;
        }
    }
    return true;
}

static bool read_range(struct text element, struct range *range)
{
    *range = (struct range){.weight = WEIGHT_MAX};
    if (!take_token(&element, &range->type) || !take_byte(&element, '/') ||
        !take_token(&element, &range->subtype)) {
        return false;
    }
    if (is(range->type, "*") && !is(range->subtype, "*")) {
        return false;
    }
    return take_parameters(&element, range) && element.length == 0;
}

static enum closeness closeness_of(const struct range *range, const char *offer)
{
    const char *slash = strchr(offer, '/');
    size_t type_length = (size_t)(slash - offer);
    if (range->foreign) {
        return CLOSENESS_NONE;
    }
    if (is(range->type, "*")) {
        return CLOSENESS_ALL;
    }
    if (range->type.length != type_length ||
        strncasecmp(range->type.data, offer, type_length) != 0) {
        return CLOSENESS_NONE;
    }
    if (is(range->subtype, "*")) {
        return CLOSENESS_TYPE;
    }
    if (!is(range->subtype, slash + 1)) {
        return CLOSENESS_NONE;
    }
    return range->charset ? CLOSENESS_PARAMETER : CLOSENESS_SUBTYPE;
}

/* Cuts the next element off the list, at a comma that stands in no quotes. False at the end. */
static bool next_element(struct text *rest, struct text *element_out)
{
    bool quoted = false;
    size_t at = 0;
    if (rest->data == NULL) {
        return false;
    }
    while (at < rest->length && (quoted || rest->data[at] != ',')) {
        if (quoted && rest->data[at] == '\\' && at + 1 < rest->length) {
            at++;
        } else if (rest->data[at] == '"') {
            quoted = !quoted;
        }
        at++;
    }
    *element_out = (struct text){rest->data, at};
    skip_blanks(element_out);
    while (element_out->length > 0 && strchr(" \t", element_out->data[element_out->length - 1])) {
        element_out->length--;
    }
    *rest = at < rest->length ? (struct text){rest->data + at + 1, rest->length - at - 1}
                              : (struct text){0};
    return true;
}

/* What the field says of each offer. */
struct verdict {
    enum closeness closeness;
    int weight;
};

static void judge(const struct range *range, const char *const *offers, size_t count,
                  struct verdict *verdicts)
{
    for (size_t i = 0; i < count; i++) {
        enum closeness closeness = closeness_of(range, offers[i]);
        struct verdict *verdict = &verdicts[i];
        if (closeness == CLOSENESS_NONE || closeness < verdict->closeness) {
            continue;
        }
        if (closeness > verdict->closeness || range->weight > verdict->weight) {
            *verdict = (struct verdict){closeness, range->weight};
        }
    }
}

int accept_choose(const char *field, size_t length, const char *const *offers, size_t count,
                  size_t *chosen_out)
{
    struct verdict verdicts[ACCEPT_OFFERS_MAX] = {0};
    struct text rest = {field, length};
    struct text element;
    bool understood = false; /* at least one element */
    bool doubtful = false;
    int best = 0;
    assert(count > 0 && count <= ACCEPT_OFFERS_MAX);
    while (next_element(&rest, &element)) {
        struct range range;
        if (element.length == 0) {
            continue;
        }
        if (!read_range(element, &range)) {
            doubtful = true;
            continue;
        }
        understood = true;
        judge(&range, offers, count, verdicts);
    }
    *chosen_out = 0;
    for (size_t i = 0; i < count; i++) {
        if (verdicts[i].weight > best) {
            best = verdicts[i].weight;
            *chosen_out = i;
        }
    }
    return best > 0 || !understood || doubtful ? 0 : -1;
}
