/* See secrets.h. */
#include "ops/cli/secrets.h"

#include "ops/cli/files.h"
#include "runtime/api_key.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int make_pepper(const void *arg, struct error *err)
{
    char text[API_KEY_PEPPER_TEXT_SIZE];
    bool created = false;
    if (access(arg, F_OK) == 0) {
        return 0;
    }
    api_key_pepper_make(text);
    int result = file_create(arg, text, 0400, &created, err);
    sodium_memzero(text, sizeof text);
    return result;
}

/* Without the line end. */
static void first_line(struct buffer *text)
{
    char *line = buffer_text(text);
    text->length = strcspn(line, "\r\n");
    line[text->length] = '\0';
}

/* The parent reads: it is root or the service user itself. */
int secrets_pepper(const struct place *place, struct sources *sources, struct error *err)
{
    char path[PATH_MAX];
    struct buffer text = {0};
    if (sources->from[SETTING_AUTH_PEPPER] != SOURCE_DEFAULT &&
        settings_text(sources->settings, SETTING_AUTH_PEPPER)[0] != '\0') {
        return 0;
    }
    if (path_join(path, sizeof path, place->location.data_dir, "auth-pepper", err) != 0 ||
        service_user_call(&place->user, make_pepper, path, err) != 0) {
        return -1;
    }
    int result = file_read(path, &text, err) == FILE_FOUND ? 0 : -1;
    if (result == 0) {
        struct api_key_pepper pepper;
        first_line(&text);
        result = api_key_pepper_parse((const char *)text.data, &pepper, err);
        sodium_memzero(&pepper, sizeof pepper);
        if (result != 0) {
            error_prefix(err, "%s", path);
        }
    }
    if (result == 0) {
        result = sources_set(sources, SETTING_AUTH_PEPPER, (const char *)text.data, SOURCE_UP, err);
    }
    sodium_memzero(text.data, text.capacity);
    buffer_deinit(&text);
    return result;
}

/* Line breaks can only stand between tokens, and a setting is one line. */
static int flatten_keys(struct buffer *text, struct error *err)
{
    json_error_t where;
    json_t *set =
        json_loadb((const char *)text->data, text->length, JSON_REJECT_DUPLICATES, &where);
    bool good = json_is_array(json_object_get(set, "keys"));
    json_decref(set);
    for (char *at = buffer_text(text); *at != '\0'; at++) {
        *at = *at == '\n' || *at == '\r' ? ' ' : *at;
    }
    return good ? 0 : error_set(err, "it holds no JSON object with an array \"keys\"");
}

int secrets_token_keys(struct sources *sources, struct error *err)
{
    const char *path = settings_text(sources->settings, SETTING_AUTH_JWKS_FILE);
    struct buffer text = {0};
    if (path[0] == '\0') {
        return sources_set(sources, SETTING_AUTH_JWKS, "", SOURCE_UP, err);
    }
    if (path[0] != '/') {
        return error_set(err, "auth.jwks_file must be an absolute path");
    }
    enum file_found found = file_read(path, &text, err);
    if (found == FILE_ABSENT) {
        error_set(err, "it is missing");
    }
    int result = found == FILE_FOUND ? flatten_keys(&text, err) : -1;
    if (result == 0) {
        result = sources_set(sources, SETTING_AUTH_JWKS, buffer_text(&text), SOURCE_UP, err);
    }
    if (result != 0) {
        error_prefix(err, "auth.jwks_file %s", path);
    }
    if (text.data != NULL) {
        sodium_memzero(text.data, text.capacity);
    }
    buffer_deinit(&text);
    return result;
}

static int make_key(const char *path, bool *created_out, struct error *err)
{
    char line[API_KEY_TEXT_SIZE + 1];
    char public_id[API_KEY_PUBLIC_ID_SIZE];
    api_key_make(API_KEY, line, public_id);
    memcpy(line + API_KEY_TEXT_SIZE - 1, "\n", 2);
    int result = file_create(path, line, 0600, created_out, err);
    sodium_memzero(line, sizeof line);
    return result;
}

/* "PUBLIC_ID:HASH" of the key in `text`. */
static int describe_key(const struct buffer *text, const char *pepper_text, struct buffer *out,
                        struct error *err)
{
    const char *key = (const char *)text->data;
    char public_id[API_KEY_PUBLIC_ID_SIZE];
    struct api_key_pepper pepper;
    uint8_t hash[API_KEY_HASH_BYTES];
    char hash_text[2 * API_KEY_HASH_BYTES + 1];
    if (api_key_parse(API_KEY, key, text->length, public_id) != 0) {
        return error_set(err, "it does not hold an api key; remove it to get a new one");
    }
    if (api_key_pepper_parse(pepper_text, &pepper, err) != 0) {
        return -1;
    }
    api_key_hash(&pepper, key, text->length, hash);
    sodium_memzero(&pepper, sizeof pepper);
    sodium_bin2hex(hash_text, sizeof hash_text, hash, sizeof hash);
    buffer_printf(out, "%s:%s", public_id, hash_text);
    return 0;
}

int secrets_first_key(const struct place *place, struct sources *sources, bool *created_out,
                      struct error *err)
{
    char path[PATH_MAX];
    struct buffer text = {0};
    struct buffer value = {0};
    *created_out = false;
    if (path_join(path, sizeof path, place->location.dir, "api-key", err) != 0) {
        return -1;
    }
    enum file_found found = file_read(path, &text, err);
    if (found == FILE_ABSENT && make_key(path, created_out, err) == 0) {
        found = file_read(path, &text, err);
    }
    int result = found == FILE_FOUND ? 0 : -1;
    if (result == 0) {
        first_line(&text);
        result =
            describe_key(&text, settings_text(sources->settings, SETTING_AUTH_PEPPER), &value, err);
        if (result != 0) {
            error_prefix(err, "%s", path);
        }
    }
    if (result == 0) {
        result = sources_set(sources, SETTING_AUTH_FIRST_KEY, buffer_text(&value), SOURCE_UP, err);
    }
    if (text.data != NULL) {
        sodium_memzero(text.data, text.capacity);
    }
    buffer_deinit(&text);
    buffer_deinit(&value);
    return result;
}
