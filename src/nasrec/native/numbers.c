/* Functions of numbers, most of which are small integers, as counts are. */

#include <stdint.h>
#include <string.h>

/* Put into `out` what a table of so many values, none below 0, has for each number: those of 0, 1,
   ..., that of 0 for what is less, and behind them one for NaN. Other numbers, -0.0 too, are left
   to the caller, and get -1. Returns how many there are. */
long from_table(long n, const double *numbers, long size, const float *table, float *out) {
    long others = 0;
    for (long i = 0; i < n; i++) {
        double x = numbers[i];
        uint64_t bits;
        memcpy(&bits, &x, 8);
        int32_t place = x > 0 ? x < size ? (int32_t)x : 0 : x <= 0 ? 0 : (int32_t)size;
        int other = (x > 0 && place != x) | (bits == 1ull << 63);
        out[i] = other ? -1 : table[place];
        others += other;
    }
    return others;
}
