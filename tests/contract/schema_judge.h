/* Schemas of the JSON Schema Test Suite, compiled by tests/contract/suite.py. */
#ifndef SIGNALBOX_TESTS_SCHEMA_JUDGE_H
#define SIGNALBOX_TESTS_SCHEMA_JUDGE_H

#include "contracts/schema_table.h"

#include <stddef.h>

extern const struct schema_table suite_schemas;
extern const uint16_t suite_nodes[];
extern const size_t suite_count;

#endif
