/* Softmax attention of one head that is d = 1, 2 or 4 numbers wide, forwards and backwards.

   Matrices are d rows of N floats, `wide` floats apart, in vectors; places from N to the end
   of the last vector are zeros, or may be anything where they are results. Queries stand in the
   lanes, and keys are taken one after the other; nothing of the size (N, N) is written. Softmax has
   base 2: the queries are scaled by log2(e) / sqrt(d). */

#pragma once
#include "vectors.h"

#define SAFE 60.0f /* logits up to which powers of two and their sums stay within floats */
#define LOG2E 1.44269504f
#define WIDEST 4 /* head width */

/* Block b of row c */
INLINE vec *at(const float *x, long c, long wide, long b) { return (vec *)(x + c * wide) + b; }

/* Whether logits of a row's heads can leave the safe range, by a bound, d max|q| max|k| over q and k
   of `rows` rows; NaN says yes. Greatest are the bits of numbers: those of NaN are above all others. */
INLINE int unsafe(const float *q, const float *k, long rows, long wide, long blocks, const int d) {
    ivec most[2] = {{0}};
    for (long c = 0; c < rows; c++)
        for (long b = 0; b < blocks; b++)
            EACH for (int i = 0; i < 2; i++) {
                ivec x = (ivec)*at(i ? k : q, c, wide, b) & 0x7fffffff, more = x > most[i];
                most[i] = (more & x) | (~more & most[i]);
            }
    float found[2];
    for (int i = 0; i < 2; i++) {
        int32_t top = 0;
        for (int l = 0; l < LANES; l++) top = most[i][l] > top ? most[i][l] : top;
        memcpy(found + i, &top, 4);
    }
    return !((float)d * found[0] * found[1] <= SAFE);
}

/* The greatest logit of each query */
INLINE void peaks(const float *q, const float *k, vec *top, long N, long wide, long blocks,
                  const int d) {
    for (long b = 0; b < blocks; b++) {
        top[b] = all(-INFINITY);
        for (long j = 0; j < N; j++) {
            vec s = {0};
            EACH for (int c = 0; c < d; c++) s += *at(q, c, wide, b) * k[c * wide + j];
            top[b] = greater(top[b], s);
        }
    }
}

/* Weights 2^(qk - top) of key j for the queries of blocks b to b + n; top counts where logits are
   unsafe alone. */
INLINE void weigh(const float *q, const float *k, const vec *top, vec *p, long j, long wide, long b,
                  const int n, const int d, const int exact) {
    EACH for (int i = 0; i < n; i++) p[i] = *at(q, 0, wide, b + i) * k[j];
    EACH for (int c = 1; c < d; c++)
        EACH for (int i = 0; i < n; i++) p[i] += *at(q, c, wide, b + i) * k[c * wide + j];
    if (exact)
        EACH for (int i = 0; i < n; i++) p[i] = greater(all(-126.0f), p[i] - top[b + i]);
    exp2v(p, n);
}

/* All blocks from b on, four, two or one at a time. The exact way is rare: one copy is enough. */
#define BY_FOUR(call)                                                                              \
    if (!exact) {                                                                                  \
        for (; b + 4 <= blocks; b += 4) call(4);                                                   \
        for (; b + 2 <= blocks; b += 2) call(2);                                                   \
    }                                                                                              \
    for (; b < blocks; b++) call(1);

/* Blocks b to b + n: values mixed into o, reciprocal sums into share */
INLINE void attend_blocks(const float *q, const float *k, const float *v, float *o, vec *share,
                          const vec *top, long N, long wide, long b, const int n, const int d,
                          const int exact) {
    vec mixed[WIDEST][4], sum[4];
    EACH for (int i = 0; i < n; i++) {
        sum[i] = all(0);
        EACH for (int c = 0; c < d; c++) mixed[c][i] = all(0);
    }
    for (long j = 0; j < N; j++) {
        vec p[4];
        weigh(q, k, top, p, j, wide, b, n, d, exact);
        EACH for (int i = 0; i < n; i++) {
            sum[i] += p[i];
            EACH for (int c = 0; c < d; c++) mixed[c][i] += p[i] * v[c * wide + j];
        }
    }
    EACH for (int i = 0; i < n; i++) {
        share[b + i] = 1.0f / sum[i];
        EACH for (int c = 0; c < d; c++) *at(o, c, wide, b + i) = mixed[c][i] * share[b + i];
    }
}

INLINE void attend(const float *q, const float *k, const float *v, float *o, vec *share, vec *top,
                   long N, long wide, long blocks, const int d, const int exact) {
    if (exact) peaks(q, k, top, N, wide, blocks, d);
    long b = 0;
#define CALL(n) attend_blocks(q, k, v, o, share, top, N, wide, b, n, d, exact)
    BY_FOUR(CALL)
#undef CALL
}

/* What the queries of blocks b to b + n give: dq, and for each key and lane, in `lanes`
   (2 d, padded), a part of dk and dv, added to what is there unless b is 0. `up` (d, padded) and
   `dots` are g and g·o times the reciprocal sums. */
INLINE void backward_blocks(const float *q, const float *k, const float *v, const float *up,
                            const vec *dots, const vec *top, float *dq, vec *lanes, long N,
                            long wide, long padded, long b, const int n, const int d,
                            const int exact) {
    vec sum[WIDEST][4];
    EACH for (int i = 0; i < n; i++)
        EACH for (int c = 0; c < d; c++) sum[c][i] = all(0);
    for (long j = 0; j < N; j++) {
        vec keys[WIDEST], values[WIDEST];
        EACH for (int c = 0; c < d; c++) {
            keys[c] = b ? lanes[c * padded + j] : all(0);
            values[c] = b ? lanes[(d + c) * padded + j] : all(0);
        }
        vec p[4], ds[4];
        weigh(q, k, top, p, j, wide, b, n, d, exact);
        EACH for (int i = 0; i < n; i++) ds[i] = *at(up, 0, padded, b + i) * v[j] - dots[b + i];
        EACH for (int c = 1; c < d; c++)
            EACH for (int i = 0; i < n; i++) ds[i] += *at(up, c, padded, b + i) * v[c * wide + j];
        EACH for (int i = 0; i < n; i++) ds[i] *= p[i];
        EACH for (int i = 0; i < n; i++)
            EACH for (int c = 0; c < d; c++) {
                sum[c][i] += ds[i] * k[c * wide + j];
                keys[c] += ds[i] * *at(q, c, wide, b + i);
                values[c] += p[i] * *at(up, c, padded, b + i);
            }
        EACH for (int c = 0; c < d; c++) {
            lanes[c * padded + j] = keys[c];
            lanes[(d + c) * padded + j] = values[c];
        }
    }
    EACH for (int i = 0; i < n; i++)
        EACH for (int c = 0; c < d; c++) *at(dq, c, wide, b + i) = sum[c][i] / sqrtf((float)d);
}

/* Gradients of one head, from o, its gradient g and the reciprocal sums; `room` has space for
   (33 d + 1) blocks of vectors */
INLINE void attend_backward(const float *q, const float *k, const float *v, const float *o,
                            const float *g, const vec *share, vec *top, float *dq, float *dk,
                            float *dv, vec *room, long N, long wide, long blocks, const int d,
                            const int exact) {
    long padded = blocks * LANES, b = 0;
    float *up = (float *)room;
    vec *dots = room + d * blocks, *lanes = dots + blocks;
    if (exact) peaks(q, k, top, N, wide, blocks, d);
    for (long i = 0; i < blocks; i++) {
        dots[i] = all(0);
        EACH for (int c = 0; c < d; c++) {
            *at(up, c, padded, i) = *at(g, c, wide, i) * share[i];
            dots[i] += *at(up, c, padded, i) * *at(o, c, wide, i);
        }
    }
#define CALL(n) backward_blocks(q, k, v, up, dots, top, dq, lanes, N, wide, padded, b, n, d, exact)
    BY_FOUR(CALL)
#undef CALL
    for (long c = 0; c < 2 * d; c++) {
        vec *row = lanes + c * padded;
        for (long j = N; j < padded; j++) row[j] = all(0);
        for (long i = 0; i < blocks; i++)
            *at(c < d ? dk : dv, c % d, wide, i) = totals(row + i * LANES) / (c < d ? LOG2E : 1.0f);
    }
}
