/* Sixteen floats at once, in GCC's and Clang's vector extensions: one AVX-512 register, two of AVX2,
   four of NEON. */

#pragma once
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SSE__
#include <xmmintrin.h>
#endif

#define LANES 16
#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));

INLINE vec all(float x) { return x - (vec){0}; }

/* The sum over the lanes, by halves */
INLINE float total(vec x) {
    typedef float half __attribute__((vector_size(32)));
    typedef float quarter __attribute__((vector_size(16)));
    half h[2];
    quarter q[2];
    memcpy(h, &x, sizeof(x));
    h[0] += h[1];
    memcpy(q, h, sizeof(q));
    q[0] += q[1];
    return (q[0][0] + q[0][2]) + (q[0][1] + q[0][3]);
}

/* The greater of two in each lane; NaN where either is. */
INLINE vec greater(vec a, vec b) {
    ivec keep = (a > b) | (a != a);
    return (vec)((keep & (ivec)a) | (~keep & (ivec)b));
}

/* 2^x to 2e-7, for -126 <= x < 128: 2^n (1 + r P(r)), the polynomial of Cephes' exp2f. */
INLINE vec exp2v(vec x) {
    vec shifted = x + 12582912.0f; /* 1.5 2^23: the last bits are now x, rounded */
    vec r = x - (shifted - 12582912.0f);
    vec p = all(1.535336188319500e-4f);
    p = p * r + 1.339887440266574e-3f;
    p = p * r + 9.618437357674640e-3f;
    p = p * r + 5.550332471162809e-2f;
    p = p * r + 2.402264791363012e-1f;
    p = p * r + 6.931472028550421e-1f;
    p = p * r + 1.0f;
    return (vec)((ivec)p + ((ivec)shifted << 23));
}

/* 1 / sqrt(x) */
INLINE vec rsqrt(vec x) {
    float y[LANES];
    memcpy(y, &x, sizeof(y));
    for (int l = 0; l < LANES; l++) y[l] = sqrtf(y[l]);
    memcpy(&x, y, sizeof(y));
    return 1.0f / x;
}

/* Block b of a row; what is beyond its end is zero. */
INLINE vec part(const float *row, long b, long width) {
    vec x = {0};
    long left = width - b * LANES;
    memcpy(&x, row + b * LANES, left < LANES ? (size_t)left * 4 : sizeof(x));
    return x;
}
INLINE void put(vec x, float *row, long b, long width) {
    long left = width - b * LANES;
    memcpy(row + b * LANES, &x, left < LANES ? (size_t)left * 4 : sizeof(x));
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
