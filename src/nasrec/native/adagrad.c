/* Adagrad in one pass over weight, state and gradient: on slices, and on the rows a batch touched. */

#include "vectors.h"

#define AHEAD 8 /* rows fetched ahead of their turn */

/* sum += g², w -= rate g / (√sum + eps), on a row of `width` */
INLINE void update(float *w, float *sum, const float *grad, long width, float rate, float eps) {
    for (long b = 0; b * LANES < width; b++) {
        vec g = part(grad, b, width), s = part(sum, b, width) + g * g;
        put(s, sum, b, width);
        put(part(w, b, width) - rate * (g / (root(s) + eps)), w, b, width);
    }
}

/* Matrices with contiguous rows: where weight, state and gradient are, rows, width, the stride of
   weight and state, and the bits of the learning rate (a double) */
struct matrix { float *weight, *sum, *grad; int64_t rows, width, weight_stride, sum_stride; double rate; };

int adagrad_matrices(long count, const struct matrix *all_of_them, double eps) {
    for (const struct matrix *m = all_of_them; m < all_of_them + count; m++)
        for (int64_t r = 0; r < m->rows; r++)
            update(m->weight + r * m->weight_stride, m->sum + r * m->sum_stride,
                   m->grad + r * m->width, m->width, (float)m->rate, (float)eps);
    return 0;
}

/* The rows `at` of tables with rows of `width`; each row stands there once */
int adagrad_rows(long count, long width, const int64_t *at, const float *grad, float *weight,
                 float *sum, double rate, double eps) {
    for (long i = 0; i < count; i++) {
        if (i + AHEAD < count) {
            __builtin_prefetch(weight + at[i + AHEAD] * width, 1);
            __builtin_prefetch(sum + at[i + AHEAD] * width, 1);
        }
        update(weight + at[i] * width, sum + at[i] * width, grad + i * width, width, (float)rate,
               (float)eps);
    }
    return 0;
}

/* Each row once, in the order of first use, with the sum of its entries; returns their number.
   `slots` has a number for each row of the table, with anything in it. */
long distinct_rows(long count, long width, const int64_t *at, const float *entries, int32_t *slots,
                   int64_t *rows, float *sums) {
    long found = 0;
    for (long i = 0; i < count; i++) {
        if (i + AHEAD < count) __builtin_prefetch(slots + at[i + AHEAD], 1);
        long slot = slots[at[i]];
        if (slot >= 0 && slot < found && rows[slot] == at[i]) {
            for (long b = 0; b * LANES < width; b++)
                put(part(sums + slot * width, b, width) + part(entries + i * width, b, width),
                    sums + slot * width, b, width);
            continue;
        }
        slots[at[i]] = (int32_t)found;
        rows[found] = at[i];
        memcpy(sums + found++ * width, entries + i * width, (size_t)width * 4);
    }
    return found;
}
