/* What rows of tokens make of one another: products of all pairs, and FM's pooling; forwards and
   backwards, a row at a time. */

#include "tiles.h"

/* Sizes of a row: features, tokens beside the first, all of them, vectors they fill, and features
   up to whole vectors */
struct row { long E, n, N, blocks, wide; };

static struct row row_of(long E, long n) {
    return (struct row){E, n, n + 1, (n + LANES) / LANES, (E + LANES - 1) / LANES * LANES};
}

/* A tile (features, places) of the first token (E) and the others (E, n), and back; what is beyond
   stays. */
static void join(struct row s, vec *tile, const float *first, const float *others) {
    for (long e = 0; e < s.E; e++) {
        float *to = (float *)(tile + e * s.blocks);
        to[0] = first[e];
        copy(to + 1, 0, others + e * s.n, 0, 1, s.n);
    }
}
static void part_with(struct row s, const vec *tile, float *first, float *others) {
    for (long e = 0; e < s.E; e++) {
        const float *from = (const float *)(tile + e * s.blocks);
        first[e] = from[0];
        copy(others + e * s.n, 0, from + 1, 0, 1, s.n);
    }
}

/* Products of each two of the tokens `first` (B, E) and `others` (B, E, n): the strict lower
   triangle, row by row. Not 0: no memory */
int pairs_forward(long B, long E, long n, const float *first, const float *others, float *out) {
    struct row s = row_of(E, n);
    long count = n * s.N / 2, tile = s.wide * s.blocks;
    vec *room = vectors(2 * tile + s.N * s.blocks + count / LANES + 2);
    if (!room) return 1;
    vec *x = room, *turned = x + tile, *products = turned + tile;
    float *pairs = (float *)(products + s.N * s.blocks);
    memset(x, 0, (size_t)tile * sizeof(vec));
    unsigned mode = fast_zeros();
    for (long r = 0; r < B; r++, out += count) {
        join(s, x, first + r * E, others + r * E * n);
        turn(x, turned, E, s.blocks);
        linear((float *)turned, NULL, NULL, x, products, s.N, s.wide, s.blocks);
        float *to = pairs; /* a row's last vector reaches into the next row, which comes after it */
        for (long i = 1; i < s.N; to += i++)
            for (long b = 0; b * LANES < i; b++) set(products[i * s.blocks + b], to + b * LANES);
        memcpy(out, pairs, (size_t)count * sizeof(float));
    }
    restore_zeros(mode);
    free(room);
    return 0;
}

/* Gradients of both, from that of the products */
int pairs_backward(long B, long E, long n, const float *first, const float *others,
                   const float *grad, float *dfirst, float *dothers) {
    struct row s = row_of(E, n);
    long tile = E * s.blocks, padded = s.blocks * LANES;
    vec *room = vectors(2 * tile + padded * s.blocks);
    if (!room) return 1;
    vec *x = room, *dx = x + tile, *both = dx + tile;
    float *square = (float *)both;
    memset(room, 0, (size_t)(2 * tile + padded * s.blocks) * sizeof(vec));
    unsigned mode = fast_zeros();
    for (long r = 0; r < B; r++) {
        join(s, x, first + r * E, others + r * E * n);
        for (long i = 1; i < s.N; i++)
            for (long j = 0; j < i; j++) square[i * padded + j] = square[j * padded + i] = *grad++;
        linear((float *)x, NULL, NULL, both, dx, E, padded, s.blocks);
        part_with(s, dx, dfirst + r * E, dothers + r * E * n);
    }
    restore_zeros(mode);
    free(room);
    return 0;
}

/* (Σ x)² - Σ x² of each row, and Σ x for the way back */
int pool_forward(long rows, long N, const float *x, float *y, float *sums) {
    unsigned mode = fast_zeros();
    for (long r = 0; r < rows; r += LANES) {
        long count = rows - r < LANES ? rows - r : LANES;
        vec sum[LANES], squares[LANES];
        memset(sum, 0, sizeof(sum)), memset(squares, 0, sizeof(squares));
        for (long i = 0; i < count; i++)
            for (long b = 0; b * LANES < N; b++) {
                vec v = part(x + (r + i) * N, b, N);
                sum[i] += v, squares[i] += v * v;
            }
        vec s = totals(sum);
        put(s * s - totals(squares), y + r, 0, count);
        put(s, sums + r, 0, count);
    }
    restore_zeros(mode);
    return 0;
}

int pool_backward(long rows, long N, const float *x, const float *sums, const float *grad,
                  float *dx) {
    unsigned mode = fast_zeros();
    for (long r = 0; r < rows; r++, x += N, dx += N)
        for (long b = 0; b * LANES < N; b++)
            put(2 * grad[r] * (sums[r] - part(x, b, N)), dx, b, N);
    restore_zeros(mode);
    return 0;
}
