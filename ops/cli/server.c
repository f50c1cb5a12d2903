/* `signalbox status | restart | stop | reload`: what a person asks of the running server. */
#include "ops/cli/cli.h"
#include "ops/cli/control.h"
#include "ops/cli/location.h"
#include "ops/cli/options.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Sends `line` to the server of DIR. DONE: the body is in `body`; else printed. */
static int ask(const char *dir, const char *line, struct buffer *body)
{
    struct location location;
    struct error err;
    int refused_code = EXIT_CODE_FAILED;
    int code = location_require(dir, &location);
    if (code != EXIT_CODE_DONE) {
        return code;
    }
    switch (control_ask(location.run_dir, line, body, &refused_code, &err)) {
    case CONTROL_OK:
        return EXIT_CODE_DONE;
    case CONTROL_REFUSED:
        return cli_fail(refused_code, "%s", err.text);
    case CONTROL_NOT_RUNNING:
        return cli_fail(EXIT_CODE_NOT_RUNNING, "no server runs in %s", location.dir);
    case CONTROL_FAILED:
        break;
    }
    return cli_fail(EXIT_CODE_FAILED, "%s", err.text);
}

static int no_arguments(int argc, char **argv)
{
    const struct option_spec specs[] = {{0}};
    struct error err;
    return options_parse(argc, argv, specs, 0, 0, &err) < 0 ? cli_usage(argv[0], "%s", err.text)
                                                            : EXIT_CODE_DONE;
}

/* ---- status ---- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "-" : text;
}

static int64_t number_of(const json_t *object, const char *name)
{
    return (int64_t)json_integer_value(json_object_get(object, name));
}

static void print_uptime(int64_t ms)
{
    int64_t seconds = ms / 1000;
    if (seconds < 60) {
        printf("%" PRId64 " s", seconds);
    } else if (seconds < 3600) {
        printf("%" PRId64 " min", seconds / 60);
    } else if (seconds < 86400) {
        printf("%" PRId64 " h %02" PRId64, seconds / 3600, seconds / 60 % 60);
    } else {
        printf("%" PRId64 " d %" PRId64 " h", seconds / 86400, seconds / 3600 % 24);
    }
}

static void print_table(const json_t *status)
{
    size_t i;
    const json_t *row;
    const json_t *supervisor = json_object_get(status, "supervisor");
    printf("listening on  %s\n", text_of(status, "listen"));
    printf("supervisor    pid %" PRId64 ", version %s\n", number_of(supervisor, "pid"),
           text_of(supervisor, "version"));
    printf("sockets       %s\n\n", text_of(status, "run_dir"));
    printf("%-16s %-10s %-8s %8s %9s %8s  %s\n", "NAME", "STATE", "HEALTHY", "PID", "RESTARTS",
           "PLANNED", "UP");
    json_array_foreach(json_object_get(status, "actors"), i, row)
    {
        printf("%-16s %-10s %-8s %8" PRId64 " %9" PRId64 " %8" PRId64 "  ", text_of(row, "name"),
               text_of(row, "state"), json_is_true(json_object_get(row, "healthy")) ? "yes" : "no",
               number_of(row, "pid"), number_of(row, "restarts"),
               number_of(row, "planned_restarts"));
        print_uptime(number_of(row, "uptime_ms"));
        putchar('\n');
    }
    json_array_foreach(json_object_get(status, "services"), i, row)
    {
        printf("%-16s %-10s %-8s %8" PRId64 "\n", text_of(row, "name"), text_of(row, "state"), "",
               number_of(row, "pid"));
    }
}

int command_status(const struct cli *cli, int argc, char **argv)
{
    struct buffer body = {0};
    int code = no_arguments(argc, argv);
    code = code == EXIT_CODE_DONE ? ask(cli->dir, "status", &body) : code;
    if (code == EXIT_CODE_DONE && cli->json) {
        fwrite(body.data, 1, body.length, stdout);
        if (body.length == 0 || body.data[body.length - 1] != '\n') {
            putchar('\n');
        }
    } else if (code == EXIT_CODE_DONE) {
        json_error_t wrong;
        json_t *status = json_loadb((const char *)body.data, body.length, 0, &wrong);
        if (status == NULL) {
            code =
                cli_fail(EXIT_CODE_FAILED, "the server's answer is not understood: %s", wrong.text);
        } else {
            print_table(status);
        }
        json_decref(status);
    }
    buffer_deinit(&body);
    return code;
}

/* ---- the others ---- */

/* What the server has to say about it goes to stdout; in JSON an empty answer is {}. */
static int tell(const struct cli *cli, const char *line)
{
    struct buffer body = {0};
    int code = ask(cli->dir, line, &body);
    if (code == EXIT_CODE_DONE && body.length > 0) {
        fwrite(body.data, 1, body.length, stdout);
        if (body.data[body.length - 1] != '\n') {
            putchar('\n');
        }
    } else if (code == EXIT_CODE_DONE && cli->json) {
        puts("{}");
    }
    buffer_deinit(&body);
    return code;
}

int command_restart(const struct cli *cli, int argc, char **argv)
{
    const struct option_spec specs[] = {{0}};
    struct error err;
    if (options_parse(argc, argv, specs, 1, 1, &err) < 0) {
        return cli_usage("restart", "%s", err.text);
    }
    if (argv[1][0] == '\0' || strlen(argv[1]) > 64 || strpbrk(argv[1], " \t\r\n") != NULL) {
        return cli_fail(EXIT_CODE_NOT_FOUND, "there is no process or actor '%s'", argv[1]);
    }
    char line[80];
    snprintf(line, sizeof line, "restart %s", argv[1]);
    return tell(cli, line);
}

int command_stop(const struct cli *cli, int argc, char **argv)
{
    int code = no_arguments(argc, argv);
    return code == EXIT_CODE_DONE ? tell(cli, "stop") : code;
}

int command_reload(const struct cli *cli, int argc, char **argv)
{
    int code = no_arguments(argc, argv);
    return code == EXIT_CODE_DONE ? tell(cli, "reload") : code;
}
