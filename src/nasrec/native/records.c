/* Columns become records: each value is put into its place of each row; and what is counted of
   records. What a record is: data/layout.py. */

#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define BLOCK 2048 /* rows: their records stay in the second cache while columns come and go */

/* A column: where its values are and how many bytes each has; a table of what is stored for each,
   or 0 for the values themselves; and bytes and place in the record. Of `numbers`, NaN is stored
   as 0. */
typedef struct {
    const char *values, *table;
    int64_t bytes, stored, at, numbers;
} Column;

INLINE void ids(const Column *column, long low, long high, long width, const int32_t *to,
                char *records, int bytes, int stored) {
    for (long r = low; r < high; r++) {
        uint32_t id = 0;
        memcpy(&id, column->values + r * bytes, bytes);
        if (column->table) {
            long place = id;
            id = 0;
            memcpy(&id, column->table + place * stored, stored);
        }
        memcpy(records + to[r] * width + column->at, &id, stored);
    }
}

/* Row r becomes record to[r]. */
void fill_records(long rows, long width, const int32_t *to, const Column *columns, long count,
                  char *records) {
    for (long low = 0; low < rows; low += BLOCK) {
        long high = low + BLOCK < rows ? low + BLOCK : rows;
        for (const Column *c = columns; c < columns + count; c++) {
            if (c->numbers) {
                for (long r = low; r < high; r++) {
                    float value;
                    memcpy(&value, c->values + 4 * r, 4);
                    if (value != value) value = 0;
                    memcpy(records + to[r] * width + c->at, &value, 4);
                }
                continue;
            }
#define CASE(a, b) \
    case 8 * a + b: ids(c, low, high, width, to, records, a, b); break
            switch (8 * c->bytes + c->stored) {
                CASE(1, 1); CASE(1, 2); CASE(1, 4);
                CASE(2, 1); CASE(2, 2); CASE(2, 4);
                CASE(4, 1); CASE(4, 2); CASE(4, 4);
            }
        }
    }
}

/* A field of ids: its place in the record and its bytes; and in how many rows it is 0. */
typedef struct {
    int64_t at, bytes, zeros;
} Field;

/* Look at records of so many words of 32 bits: `sums` gets of each row the sum of its words, with
   the bits of `masks` only, times `factors`; and the zeros of fields are counted. */
void look_at_records(long rows, long words, const uint32_t *records, const uint32_t *masks,
                     const uint64_t *factors, uint64_t *sums, Field *fields, long count) {
    for (long low = 0; low < rows; low += BLOCK) {
        long high = low + BLOCK < rows ? low + BLOCK : rows;
        for (long r = low; r < high; r++) {
            uint64_t sum = 0;
            for (long w = 0; w < words; w++)
                sum += (uint64_t)(records[r * words + w] & masks[w]) * factors[w];
            sums[r] = sum;
        }
        const char *first = (const char *)(records + low * words);
        for (Field *field = fields; field < fields + count; field++) {
#define ZEROS(type)                                                            \
    for (long r = 0; r < high - low; r++) {                                    \
        type id;                                                               \
        memcpy(&id, first + 4 * words * r + field->at, sizeof(id));            \
        field->zeros += id == 0;                                               \
    }                                                                          \
    break
            switch (field->bytes) {
                case 1: ZEROS(uint8_t);
                case 2: ZEROS(uint16_t);
                case 4: ZEROS(uint32_t);
            }
        }
    }
}
