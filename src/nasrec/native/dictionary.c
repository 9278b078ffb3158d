/* Dictionaries: which values there are, known by their hashes, and how often. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD 16 /* values: as long as memory takes to answer */

/* Number distinct hashes in the order in which they come: `keys` gets them, `rows` where each is
   first, `numbers` the number of each of the n. Returns how many there are; -1 without memory. */
long distinct_hashes(long n, const uint64_t *hashes, uint64_t *keys, uint32_t *numbers,
                     int64_t *rows) {
    uint64_t size = 1 << 10, count = 0;
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
        size *= 4;
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
void count_ids(long rows, const char *ids, long bytes, const uint8_t *marked, int64_t *counts) {
#define CASE(type)                                                             \
    for (long r = 0; r < rows; r++) counts[((const type *)ids)[r]] += marked[r]
    if (bytes == 1)
        CASE(uint8_t);
    else if (bytes == 2)
        CASE(uint16_t);
    else
        CASE(uint32_t);
}

/* The ids of values by their hashes, 0 for those that are not known. `known` rises. Quick where the
   hashes rise too, as each is then looked for from the place of the one before. */
void look_up(long n, const uint64_t *hashes, long size, const uint64_t *known, const int32_t *ids,
             int32_t *out) {
    long low = 0; /* all before are less */
    for (long i = 0; i < n; i++) {
        uint64_t hash = hashes[i];
        if (i && hash < hashes[i - 1]) low = 0;
        long step = 1, high;
        for (; low + step < size && known[low + step] < hash; step *= 2) low += step;
        high = low + step < size ? low + step : size;
        while (low < high) {
            long middle = low + (high - low) / 2;
            if (known[middle] < hash)
                low = middle + 1;
            else
                high = middle;
        }
        out[i] = low < size && known[low] == hash ? ids[low] : 0;
    }
}
