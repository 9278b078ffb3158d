/* Several floats at once, in GCC's and Clang's vector extensions: as many as a register holds, for
   compilers make slow code of longer vectors. */

#pragma once
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SSE__
#include <xmmintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4 /* SSE, NEON */
#endif
#define EACH _Pragma("GCC unroll 4") /* loops of known length whose arrays should be registers */
#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));

INLINE vec all(float x) { return x - (vec){0}; }

/* The sum over the lanes, by halves */
INLINE float total(vec x) {
    float sums[LANES];
    memcpy(sums, &x, sizeof(x));
    for (int half = LANES / 2; half; half /= 2)
        for (int l = 0; l < half; l++) sums[l] += sums[half + l];
    return sums[0];
}

#if LANES == 16
/* Chosen lanes of two vectors, those of the second numbered from 16 */
#ifdef __clang__
#define CHOSEN(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define CHOSEN(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#endif

/* Numbers side by side in pairs of lanes: a0 b0 a1 b1, a2 b2 a3 b3 of each four */
#define LOW_PAIRS(a, b) CHOSEN(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH_PAIRS(a, b) CHOSEN(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
/* a0 a1 b0 b1, a2 a3 b2 b3 of each four */
#define LOW_HALVES(a, b) CHOSEN(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HIGH_HALVES(a, b) CHOSEN(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
/* Of the fours of two vectors, the first and third of each, the second and fourth */
#define EVEN_FOURS(a, b) CHOSEN(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define ODD_FOURS(a, b) CHOSEN(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)

/* The sums over the lanes of as many vectors */
INLINE vec totals(const vec *x) {
    vec four[4];
    for (int i = 0; i < 4; i++) {
        const vec *y = x + 4 * i;
        vec a = LOW_PAIRS(y[0], y[1]) + HIGH_PAIRS(y[0], y[1]);
        vec b = LOW_PAIRS(y[2], y[3]) + HIGH_PAIRS(y[2], y[3]);
        four[i] = LOW_HALVES(a, b) + HIGH_HALVES(a, b);
    }
    vec a = EVEN_FOURS(four[0], four[1]) + ODD_FOURS(four[0], four[1]);
    vec b = EVEN_FOURS(four[2], four[3]) + ODD_FOURS(four[2], four[3]);
    return EVEN_FOURS(a, b) + ODD_FOURS(a, b);
}

/* As many vectors as lanes, both exchanged */
INLINE void turned(const vec *x, vec *y) {
    vec a[16], b[16];
    for (int i = 0; i < 16; i += 4) {
        for (int h = 0; h < 4; h += 2) {
            a[i + h] = LOW_PAIRS(x[i + h], x[i + h + 1]);
            a[i + h + 1] = HIGH_PAIRS(x[i + h], x[i + h + 1]);
        }
        for (int h = 0; h < 2; h++) {
            b[i + 2 * h] = LOW_HALVES(a[i + h], a[i + h + 2]);
            b[i + 2 * h + 1] = HIGH_HALVES(a[i + h], a[i + h + 2]);
        }
    }
    /* b[4 i + r]: of each four of lanes f, element (i, r) holds what vectors 4i..4i+3 had in lane
       4 f + r */
    for (int r = 0; r < 4; r++) {
        vec low = EVEN_FOURS(b[r], b[4 + r]), more = EVEN_FOURS(b[8 + r], b[12 + r]);
        y[r] = EVEN_FOURS(low, more), y[8 + r] = ODD_FOURS(low, more);
        low = ODD_FOURS(b[r], b[4 + r]), more = ODD_FOURS(b[8 + r], b[12 + r]);
        y[4 + r] = EVEN_FOURS(low, more), y[12 + r] = ODD_FOURS(low, more);
    }
}

#else
INLINE vec totals(const vec *x) {
    vec y;
    for (int l = 0; l < LANES; l++) y[l] = total(x[l]);
    return y;
}
INLINE void turned(const vec *x, vec *y) {
    for (int i = 0; i < LANES; i++)
        for (int l = 0; l < LANES; l++) ((float *)(y + l))[i] = ((const float *)(x + i))[l];
}
#endif

/* The greater of two in each lane; NaN where either is. */
INLINE vec greater(vec a, vec b) {
    ivec keep = (a > b) | (a != a);
    return (vec)((keep & (ivec)a) | (~keep & (ivec)b));
}

/* 2^x of n vectors to 2e-7, for -126 <= x < 128: 2^(x rounded) times a polynomial, the closest of
   degree 5 with p(0) = 1, of the rest. Step by step for all of them, so that none waits. */
INLINE void exp2v(vec *x, const int n) {
    static const float terms[] = {9.671512991e-3f, 5.550733581e-2f, 2.402224243e-1f,
                                  6.931470037e-1f, 1.0f};
    vec p[4];
    ivec power[4];
    EACH for (int i = 0; i < n; i++) {
        vec shifted = x[i] + 12582912.0f; /* 1.5 2^23: the last bits are now x, rounded */
        power[i] = (ivec)shifted << 23;
        x[i] -= shifted - 12582912.0f;
        p[i] = all(1.326472731e-3f);
    }
    _Pragma("GCC unroll 5") for (int t = 0; t < 5; t++)
        EACH for (int i = 0; i < n; i++) p[i] = p[i] * x[i] + terms[t];
    EACH for (int i = 0; i < n; i++) x[i] = (vec)((ivec)p[i] + power[i]);
}

/* The square roots */
INLINE vec root(vec x) {
    float y[LANES];
    memcpy(y, &x, sizeof(y));
    for (int l = 0; l < LANES; l++) y[l] = sqrtf(y[l]);
    memcpy(&x, y, sizeof(y));
    return x;
}
INLINE vec rsqrt(vec x) { return 1.0f / root(x); }

/* As many numbers as a vector has, from anywhere */
INLINE vec get(const float *from) {
    vec x;
    memcpy(&x, from, sizeof(x));
    return x;
}
INLINE void set(vec x, float *to) { memcpy(to, &x, sizeof(x)); }

/* Block b of a row; what is beyond its end is zero. */
INLINE vec part(const float *row, long b, long width) {
    vec x = {0};
    if ((b + 1) * LANES <= width) return get(row + b * LANES);
    memcpy(&x, row + b * LANES, (size_t)(width - b * LANES) * 4);
    return x;
}
INLINE void put(vec x, float *row, long b, long width) {
    if ((b + 1) * LANES <= width) set(x, row + b * LANES);
    else memcpy(row + b * LANES, &x, (size_t)(width - b * LANES) * 4);
}

/* Numbers below the least normal one count as zero, as in training: they are many times slower. */
INLINE unsigned fast_zeros(void) {
    unsigned mode = 0;
#ifdef __SSE__
    mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040);
#endif
    return mode;
}
INLINE void restore_zeros(unsigned mode) {
#ifdef __SSE__
    _mm_setcsr(mode);
#endif
    (void)mode;
}

/* Room for so many vectors, or NULL */
INLINE vec *vectors(long count) { return aligned_alloc(sizeof(vec), (size_t)count * sizeof(vec)); }
