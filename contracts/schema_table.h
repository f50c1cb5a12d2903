/*
 * JSON Schemas as tables: what contracts/generator/compiler.py writes and actors/runtime/schema.c
 * reads. Everything refers to everything by index, so that the tables are read-only data without
 * relocations but the texts. Which keywords there are, and what the others do (fail the build), is
 * told in docs/decisions/0016-compiled-schemas.md.
 */
#ifndef SIGNALBOX_CONTRACTS_SCHEMA_TABLE_H
#define SIGNALBOX_CONTRACTS_SCHEMA_TABLE_H

#include <stdint.h>

/* Bits; what a value is. A whole number is SCHEMA_INTEGER however it is written (1.0, 1e2). */
enum schema_type {
    SCHEMA_NULL = 1,
    SCHEMA_BOOLEAN = 2,
    SCHEMA_INTEGER = 4,
    SCHEMA_FRACTION = 8,
    SCHEMA_STRING = 16,
    SCHEMA_ARRAY = 32,
    SCHEMA_OBJECT = 64,
    SCHEMA_NUMBER = SCHEMA_INTEGER | SCHEMA_FRACTION,
    SCHEMA_EVERY_TYPE = 127
};

enum schema_format { SCHEMA_NO_FORMAT, SCHEMA_UUID, SCHEMA_DATE_TIME };

enum schema_limit_kind {
    SCHEMA_MIN_LENGTH,
    SCHEMA_MAX_LENGTH,
    SCHEMA_MIN_ITEMS,
    SCHEMA_MAX_ITEMS,
    SCHEMA_MIN_PROPERTIES,
    SCHEMA_MAX_PROPERTIES,
    SCHEMA_MINIMUM,
    SCHEMA_MAXIMUM,
    SCHEMA_EXCLUSIVE_MINIMUM,
    SCHEMA_EXCLUSIVE_MAXIMUM
};

struct schema_limit {
    enum schema_limit_kind kind;
    uint32_t count;     /* of characters, elements or members */
    const char *number; /* JSON text, for the last four */
};

struct schema_property {
    const char *name; /* without escapes */
    uint16_t length;  /* of it, in bytes */
    uint16_t node;
};

/* A JSON value, one of those that enum or const allow. */
struct schema_value {
    const char *text;
    uint16_t length;
};

enum schema_applied_kind { SCHEMA_ALL_OF, SCHEMA_ANY_OF, SCHEMA_ONE_OF, SCHEMA_NOT };

/* Schemas for the very same value. */
struct schema_applied {
    enum schema_applied_kind kind;
    uint16_t first; /* of `alternatives` */
    uint16_t count;
};

/* Node 0 allows everything. Each `first_` is an index into the table of that name. */
struct schema_node {
    uint64_t required; /* bit i: the node's property i; properties beyond 64 are never needed */
    uint16_t first_property;
    uint16_t first_limit;
    uint16_t first_value;
    uint16_t first_applied;
    uint16_t additional; /* node of members that are not named */
    uint16_t items;      /* node of elements */
    uint16_t property_count;
    uint16_t value_count; /* 0: any value */
    uint8_t limit_count;
    uint8_t applied_count;
    uint8_t types; /* enum schema_type; 0: nothing is allowed here */
    uint8_t format;
    const char *needs; /* what is said when anyOf fails; NULL: something general */
};

struct schema_table {
    const struct schema_node *nodes;
    const struct schema_property *properties;
    const struct schema_limit *limits;
    const struct schema_value *values;
    const struct schema_applied *applied;
    const uint16_t *alternatives; /* nodes */
};

#endif
