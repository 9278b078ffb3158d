/* Linears, LayerNorm and their gradients on tiles (features, places), places in vectors. */

#pragma once
#include "vectors.h"

#define EPS 1e-5f
/* These are called from many places, and one copy of each is enough; the usual width of a token,
   known to the compiler, has a copy of its own. */
#define ONCE static __attribute__((noinline, unused))
#define USUAL 16

/* Rows r to r + m and blocks b to b + n of `linear` */
INLINE void linear_part(const float *W, const float *bias, const vec *base, const vec *x, vec *out,
                        long r, long b, long E, long blocks, const int m, const int n) {
    vec y[4][4];
    EACH for (int i = 0; i < m; i++)
        EACH for (int c = 0; c < n; c++) {
            y[i][c] = all(bias ? bias[r + i] : 0);
            if (base) y[i][c] += base[(r + i) * blocks + b + c];
        }
    for (long e = 0; e < E; e++)
        EACH for (int i = 0; i < m; i++)
            EACH for (int c = 0; c < n; c++) y[i][c] += W[(r + i) * E + e] * x[e * blocks + b + c];
    EACH for (int i = 0; i < m; i++)
        EACH for (int c = 0; c < n; c++) out[(r + i) * blocks + b + c] = y[i][c];
}

INLINE void linear_of(const float *W, const float *bias, const vec *base, const vec *x, vec *out,
                      long rows, long E, long blocks) {
    long b = 0;
#define PARTS(n)                                                                                   \
    for (; b + n <= blocks; b += n) {                                                              \
        long r = 0;                                                                                \
        for (; r + 4 <= rows; r += 4) linear_part(W, bias, base, x, out, r, b, E, blocks, 4, n);    \
        for (; r < rows; r++) linear_part(W, bias, base, x, out, r, b, E, blocks, 1, n);            \
    }
    PARTS(4)
    PARTS(2)
    PARTS(1)
#undef PARTS
}

/* out = base + bias + W x, the first two if given: W (rows, E), x (E, blocks), out (rows, blocks);
   base may be out */
ONCE void linear(const float *W, const float *bias, const vec *base, const vec *x, vec *out,
                 long rows, long E, long blocks) {
    if (E == USUAL) linear_of(W, bias, base, x, out, rows, USUAL, blocks);
    else linear_of(W, bias, base, x, out, rows, E, blocks);
}

/* x (E, blocks) with features in the lanes: (places, ceil(E / LANES)) */
ONCE void turn(const vec *x, vec *y, long E, long blocks) {
    long wide = (E + LANES - 1) / LANES;
    for (long f = 0; f < wide; f++)
        for (long b = 0; b < blocks; b++) {
            vec in[LANES], out[LANES];
            for (long l = 0; l < LANES; l++)
                in[l] = f * LANES + l < E ? x[(f * LANES + l) * blocks + b] : all(0);
            turned(in, out);
            for (long l = 0; l < LANES; l++) y[(b * LANES + l) * wide + f] = out[l];
        }
}

/* Rows r to r + m of `linear_weights` */
INLINE void weights_part(const float *g, const vec *x, vec *dW, long r, long f, long wide,
                         long places, const int m) {
    vec sum[8];
    _Pragma("GCC unroll 8") for (int i = 0; i < m; i++) sum[i] = dW[(r + i) * wide + f];
    for (long n = 0; n < places; n++)
        _Pragma("GCC unroll 8") for (int i = 0; i < m; i++)
            sum[i] += g[(r + i) * places + n] * x[n * wide + f];
    _Pragma("GCC unroll 8") for (int i = 0; i < m; i++) dW[(r + i) * wide + f] = sum[i];
}

/* Gradients of a linear from g (rows, blocks) and its input, turned: dW (rows, ceil(E / LANES)) with
   features in the lanes, db (rows) lane by lane; both are added to */
ONCE void linear_weights(const vec *g, const vec *x, vec *dW, vec *db, long rows, long E,
                         long blocks) {
    long wide = (E + LANES - 1) / LANES, r = 0;
    for (long i = 0; i < rows; i++)
        for (long b = 0; b < blocks; b++) db[i] += g[i * blocks + b];
    for (; r + 8 <= rows; r += 8)
        for (long f = 0; f < wide; f++)
            weights_part((const float *)g, x, dW, r, f, wide, blocks * LANES, 8);
    for (; r < rows; r++)
        for (long f = 0; f < wide; f++)
            weights_part((const float *)g, x, dW, r, f, wide, blocks * LANES, 1);
}

INLINE void norm_of(vec *x, const float *gain, const float *bias, vec *y, vec *scale, long E,
                    long blocks) {
    for (long b = 0; b < blocks; b++) {
        vec mean = {0}, var = {0};
        for (long e = 0; e < E; e++) mean += x[e * blocks + b];
        mean /= (float)E;
        for (long e = 0; e < E; e++) {
            vec c = x[e * blocks + b] - mean;
            var += c * c;
            x[e * blocks + b] = c;
        }
        scale[b] = rsqrt(var / (float)E + EPS);
        for (long e = 0; e < E; e++) {
            vec n = x[e * blocks + b] * scale[b];
            x[e * blocks + b] = n;
            y[e * blocks + b] = n * gain[e] + bias[e];
        }
    }
}

INLINE void norm_backward_of(vec *g, const vec *x, const vec *scale, const float *gain, vec *dgain,
                             vec *dbias, long E, long blocks) {
    for (long b = 0; b < blocks; b++) {
        vec mean = {0}, along = {0};
        for (long e = 0; e < E; e++) {
            vec y = g[e * blocks + b], n = x[e * blocks + b], z = y * gain[e];
            dgain[e] += y * n, dbias[e] += y;
            mean += z, along += z * n;
        }
        mean /= (float)E, along /= (float)E;
        for (long e = 0; e < E; e++) {
            vec n = x[e * blocks + b];
            g[e * blocks + b] = scale[b] * (g[e * blocks + b] * gain[e] - mean - n * along);
        }
    }
}

/* LayerNorm over features: x becomes normalised, y = x gain + bias, scale the reciprocal deviation */
ONCE void tile_norm(vec *x, const float *gain, const float *bias, vec *y, vec *scale, long E,
                    long blocks) {
    if (E == USUAL) norm_of(x, gain, bias, y, scale, USUAL, blocks);
    else norm_of(x, gain, bias, y, scale, E, blocks);
}

/* g becomes the gradient of what was normalised to x */
ONCE void tile_norm_backward(vec *g, const vec *x, const vec *scale, const float *gain, vec *dgain,
                             vec *dbias, long E, long blocks) {
    if (E == USUAL) norm_backward_of(g, x, scale, gain, dgain, dbias, USUAL, blocks);
    else norm_backward_of(g, x, scale, gain, dgain, dbias, E, blocks);
}

/* Rows of N floats, `from_stride` and `to_stride` apart: a call of memcpy for each costs as much as
   several vectors. */
ONCE void copy(float *to, long to_stride, const float *from, long from_stride, long rows,
               long N) {
    for (; rows > 0; rows--, to += to_stride, from += from_stride) {
        long n = 0;
        for (; n + LANES <= N; n += LANES) set(get(from + n), to + n);
        if (n < N) memcpy(to + n, from + n, (size_t)(N - n) * 4);
    }
}

/* A tile from R rows of x (R, features, N), rows side by side, and back; what is beyond a row's N
   places becomes zero in the tile. */
INLINE void load(vec *tile, const float *x, long R, long features, long N, long blocks) {
    if (N % LANES) memset(tile, 0, (size_t)(features * blocks) * sizeof(vec));
    for (long r = 0; r < R; r++, x += features * N)
        copy((float *)(tile + r * (blocks / R)), blocks * LANES, x, N, features, N);
}
INLINE void store(const vec *tile, float *x, long R, long features, long N, long blocks) {
    for (long r = 0; r < R; r++, x += features * N)
        copy(x, N, (const float *)(tile + r * (blocks / R)), blocks * LANES, features, N);
}

/* Zeros beyond the last places, so that nothing there is infinite or counts as a gradient */
INLINE void clear(vec *tile, long R, long features, long N, long blocks) {
    if (N % LANES == 0) return;
    long each = blocks / R;
    for (long i = 0; i < features * R; i++)
        memset((float *)(tile + i * each) + N, 0, (size_t)(each * LANES - N) * 4);
}
