/* Dictionaries: which values there are, known by their hashes, and how often. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define AHEAD 16 /* values: as long as memory takes to answer */

/* Number distinct hashes in the order in which they come: `keys` gets them, `rows` where each is
   first, `numbers` the number of each of the n. Returns how many there are; -1 without memory. */
long distinct_hashes(long n, const uint64_t *hashes, uint64_t *keys, uint32_t *numbers,
                     int64_t *rows) {
    uint64_t size = 1 << 12, count = 0; /* enough for most columns; large ones get room for all */
    uint32_t *table = calloc(size, sizeof(uint32_t)); /* 1 more than the number; 0 is free */
    if (!table) return -1;
    for (long i = 0; i < n; i++) {
        uint64_t key = hashes[i], at = key & (size - 1);
        if (i + AHEAD < n) __builtin_prefetch(table + (hashes[i + AHEAD] & (size - 1)));
        while (table[at] && keys[table[at] - 1] != key) at = (at + 1) & (size - 1);
        if (!table[at]) {
            keys[count] = key;
            rows[count] = i;
            table[at] = (uint32_t)++count;
        }
        numbers[i] = table[at] - 1;
        if (2 * count <= size) continue;
        free(table);
        while (size < 2 * (uint64_t)n) size *= 2;
        if (!(table = calloc(size, sizeof(uint32_t)))) return -1;
        for (uint64_t j = 0; j < count; j++) {
            for (at = keys[j] & (size - 1); table[at]; at = (at + 1) & (size - 1)) {}
            table[at] = (uint32_t)(j + 1);
        }
    }
    free(table);
    return (long)count;
}

/* Count the ids, of so many bytes each, of the rows with a mark. */
void count_ids(long rows, const char *ids, long bytes, const uint8_t *marked, uint32_t *counts) {
#define CASE(type)                                                             \
    for (long r = 0; r < rows; r++) counts[((const type *)ids)[r]] += marked[r]
    if (bytes == 1)
        CASE(uint8_t);
    else if (bytes == 2)
        CASE(uint16_t);
    else
        CASE(uint32_t);
}

/* Add counts to sums that values share, as many as the bits of a hash from the 32nd on tell apart.
   A sum stays below 256. */
#define SHARED(hash) ((hash) >> 32 & mask)
void add_counts(long n, const uint64_t *hashes, const uint32_t *counts, uint64_t mask,
                uint8_t *sums) {
    for (long i = 0; i < n; i++) {
        if (i + AHEAD < n) __builtin_prefetch(sums + SHARED(hashes[i + AHEAD]), 1);
        uint8_t *sum = sums + SHARED(hashes[i]);
        *sum = counts[i] < 255u - *sum ? *sum + counts[i] : 255;
    }
}

/* A value: its hash, its count (0: no value), and a place where it is. */
typedef struct {
    uint64_t hash;
    int64_t count, place;
} Value;

INLINE Value *value_of(uint64_t hash, Value *table, uint64_t size) {
    uint64_t at = hash & (size - 1);
    while (table[at].count && table[at].hash != hash) at = (at + 1) & (size - 1);
    return table + at;
}

/* Add counts to a table, a power of two in size, of those values only whose shared sum reaches
   `least` and whose hash begins with the bits `range`, of which there are `bits`. `places` are from
   `first` on. Ends early when half of the table is used; returns how many were gone through. */
long count_values(long n, const uint64_t *hashes, const uint32_t *counts, int64_t first,
                  uint64_t mask, const uint8_t *sums, long least, long bits, uint64_t range,
                  uint64_t size, Value *table, int64_t *used) {
    for (long i = 0; i < n; i++) {
        uint64_t hash = hashes[i];
        if (i + 2 * AHEAD < n) __builtin_prefetch(sums + SHARED(hashes[i + 2 * AHEAD]));
        if (i + AHEAD < n && sums[SHARED(hashes[i + AHEAD])] >= least)
            __builtin_prefetch(table + (hashes[i + AHEAD] & (size - 1)));
        if (!counts[i] || sums[SHARED(hash)] < least || (bits && hash >> (64 - bits) != range))
            continue;
        if (2 * (uint64_t)*used >= size) return i;
        Value *value = value_of(hash, table, size);
        if (!value->count) *value = (Value){hash, 0, first + i}, ++*used;
        value->count += counts[i];
    }
    return n;
}

/* Put the values of a table into a larger, empty one. */
void move_values(uint64_t size, const Value *table, uint64_t larger, Value *to) {
    for (uint64_t i = 0; i < size; i++)
        if (table[i].count) *value_of(table[i].hash, to, larger) = table[i];
}

/* The ids of values by their hashes, 0 for those that are not known. `known` rises; those whose
   hash begins with the `bits` of a number are from starts[number] to starts[number + 1], which are
   seldom more than one. Behind all there is one more, with id 0. */
void look_up(long n, const uint64_t *hashes, const uint64_t *known, const int32_t *ids, long bits,
             const uint32_t *starts, int32_t *out) {
    for (long i = 0; i < n; i++) {
        if (i + AHEAD < n) __builtin_prefetch(starts + (hashes[i + AHEAD] >> (64 - bits)));
        const uint32_t *start = starts + (hashes[i] >> (64 - bits));
        /* Without a branch, which could not be foretold. */
        int32_t id = ids[start[0]] & -(int32_t)(known[start[0]] == hashes[i]);
        for (uint32_t at = start[0] + 1; at < start[1]; at++)
            if (known[at] == hashes[i]) id = ids[at];
        out[i] = id;
    }
}
