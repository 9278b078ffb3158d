/* One Transformer encoder layer (post-norm, Q = K = V), forwards and backwards, row by row: what a row
   needs stays in the core's own cache, and the matrices of attention weights are never written.

   Tiles are (features, tokens), tokens in vectors of 16; places beyond the last token hold zeros or
   are never read. Weights stand in one array of pointers, in the order of `enum weight`; gradients
   are summed lane by lane over all rows, and over the lanes at the end.

   Softmax has base 2: the queries are scaled by log2(e) / sqrt(d). */

#include "vectors.h"

enum weight { QKV_W, QKV_B, MIX_W, MIX_B, N1_W, N1_B, UP_W, UP_B, DOWN_W, DOWN_B, N2_W, N2_B, WEIGHTS };

#define SAFE 60.0f /* logits up to which powers of two and their sums stay within floats */
#define EPS 1e-5f
#define LOG2E 1.44269504f

/* out = base + bias + W x, the first two if given: W (rows, E), x (E, blocks), out (rows, blocks);
   base may be out */
INLINE void linear(const float *W, const float *bias, const vec *base, const vec *x, vec *out,
                   long rows, long E, long blocks) {
    for (long r = 0; r < rows; r += 4) {
        long n = rows - r < 4 ? rows - r : 4;
        for (long b = 0; b < blocks; b++) {
            vec y[4];
            for (long i = 0; i < 4; i++) {
                long at = r + (i < n ? i : 0);
                y[i] = all(bias ? bias[at] : 0);
                if (base) y[i] += base[at * blocks + b];
            }
            const float *w0 = W + r * E, *w1 = n > 1 ? w0 + E : w0, *w2 = n > 2 ? w0 + 2 * E : w0,
                        *w3 = n > 3 ? w0 + 3 * E : w0;
            for (long e = 0; e < E; e++) {
                vec in = x[e * blocks + b];
                y[0] += w0[e] * in, y[1] += w1[e] * in, y[2] += w2[e] * in, y[3] += w3[e] * in;
            }
            for (long i = 0; i < n; i++) out[(r + i) * blocks + b] = y[i];
        }
    }
}

/* Gradients of a linear: dW (rows, E) += g x', db (rows) += g, lane by lane */
INLINE void linear_weights(const vec *g, const vec *x, vec *dW, vec *db, long rows, long E,
                           long blocks) {
    for (long r = 0; r < rows; r++) {
        const vec *gr = g + r * blocks;
        for (long b = 0; b < blocks; b++) db[r] += gr[b];
        for (long e = 0; e < E; e++) {
            vec sum = dW[r * E + e];
            for (long b = 0; b < blocks; b++) sum += gr[b] * x[e * blocks + b];
            dW[r * E + e] = sum;
        }
    }
}

/* LayerNorm over features: x becomes normalised, y = x gain + bias, scale the reciprocal deviation */
INLINE void norm(vec *x, const float *gain, const float *bias, vec *y, vec *scale, long E,
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

/* g becomes the gradient of what was normalised to x */
INLINE void norm_backward(vec *g, const vec *x, const vec *scale, const float *gain, vec *dgain,
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

/* Whether a head's logits can leave the safe range: a bound, d max|q| max|k|; NaN says yes. */
INLINE int unsafe(const float *q, const float *k, long N, long wide, const int d) {
    float bound = 0;
    for (int c = 0; c < d; c++) {
        float a = 0, b = 0;
        for (long n = 0; n < N; n++) {
            float x = fabsf(q[c * wide + n]), y = fabsf(k[c * wide + n]);
            a = x > a || x != x ? x : a, b = y > b || y != y ? y : b;
        }
        bound += a * b;
    }
    return !(bound <= SAFE);
}

/* The greatest logit of each query, where logits are unsafe; else 0 */
INLINE void peaks(const float *q, const float *k, vec *top, long N, long wide, const int d) {
    for (long b = 0; b < wide / LANES; b++) {
        top[b] = all(-INFINITY);
        for (long j = 0; j < N; j++) {
            vec s = {0};
            for (int c = 0; c < d; c++) s += ((const vec *)(q + c * wide))[b] * k[c * wide + j];
            top[b] = greater(top[b], s);
        }
    }
}

/* 2^(s - top) without leaving the range of exp2v */
INLINE vec weight(vec s, vec top, const int exact) {
    return exp2v(exact ? greater(all(-126.0f), s - top) : s);
}

/* One head: values mixed into o, reciprocal sums into share; all (d, N) in rows of `wide` */
INLINE void attend(const float *q, const float *k, const float *v, float *o, vec *share,
                   const vec *top, long N, long wide, const int d, const int exact) {
    for (long b = 0; b < wide / LANES; b++) {
        vec at[4], mixed[4] = {{0}}, sum = {0}, t = exact ? top[b] : all(0);
        for (int c = 0; c < d; c++) at[c] = ((const vec *)(q + c * wide))[b];
        for (long j = 0; j < N; j++) {
            vec s = at[0] * k[j];
            for (int c = 1; c < d; c++) s += at[c] * k[c * wide + j];
            vec p = weight(s, t, exact);
            sum += p;
            for (int c = 0; c < d; c++) mixed[c] += p * v[c * wide + j];
        }
        share[b] = 1.0f / sum;
        for (int c = 0; c < d; c++) ((vec *)(o + c * wide))[b] = mixed[c] * share[b];
    }
}

/* Gradients of one head: dq first, with queries in the lanes, then dk and dv, with keys in them */
INLINE void attend_backward(const float *q, const float *k, const float *v, const float *o,
                            const float *g, const vec *share, const vec *top, float *dq, float *dk,
                            float *dv, float *room, long N, long wide, const int d,
                            const int exact) {
    float *shared = room, *dots = room + d * wide; /* g and g·o, times the reciprocal sums */
    for (long b = 0; b < wide / LANES; b++) {
        vec at[4], up[4], sum[4] = {{0}}, dot = {0}, t = exact ? top[b] : all(0);
        for (int c = 0; c < d; c++) {
            at[c] = ((const vec *)(q + c * wide))[b];
            up[c] = ((const vec *)(g + c * wide))[b] * share[b];
            dot += up[c] * ((const vec *)(o + c * wide))[b];
            ((vec *)(shared + c * wide))[b] = up[c];
        }
        ((vec *)dots)[b] = dot;
        for (long j = 0; j < N; j++) {
            vec s = at[0] * k[j], dp = up[0] * v[j] - dot;
            for (int c = 1; c < d; c++) s += at[c] * k[c * wide + j], dp += up[c] * v[c * wide + j];
            vec ds = weight(s, t, exact) * dp;
            for (int c = 0; c < d; c++) sum[c] += ds * k[c * wide + j];
        }
        for (int c = 0; c < d; c++) ((vec *)(dq + c * wide))[b] = sum[c] / sqrtf((float)d);
    }
    for (long b = 0; b < wide / LANES; b++) {
        vec at[4], val[4], keys[4] = {{0}}, values[4] = {{0}};
        for (int c = 0; c < d; c++) {
            at[c] = ((const vec *)(k + c * wide))[b];
            val[c] = ((const vec *)(v + c * wide))[b];
        }
        for (long i = 0; i < N; i++) {
            vec s = at[0] * q[i], dp = val[0] * shared[i] - dots[i];
            for (int c = 1; c < d; c++)
                s += at[c] * q[c * wide + i], dp += val[c] * shared[c * wide + i];
            vec p = weight(s, all(exact ? ((const float *)top)[i] : 0), exact), ds = p * dp;
            for (int c = 0; c < d; c++) {
                keys[c] += ds * q[c * wide + i];
                values[c] += p * shared[c * wide + i];
            }
        }
        for (int c = 0; c < d; c++) {
            ((vec *)(dk + c * wide))[b] = keys[c] / LOG2E;
            ((vec *)(dv + c * wide))[b] = values[c];
        }
    }
}

/* What takes the head width from the compiler is several times faster, so each has its own copy. */
#define WITH_WIDTH(d)                                                                              \
    static void head_##d(const float *q, const float *k, const float *v, float *o, vec *share,     \
                         vec *top, long N, long wide) {                                            \
        if (unsafe(q, k, N, wide, d)) {                                                            \
            peaks(q, k, top, N, wide, d);                                                          \
            attend(q, k, v, o, share, top, N, wide, d, 1);                                         \
        } else                                                                                     \
            attend(q, k, v, o, share, top, N, wide, d, 0);                                         \
    }                                                                                              \
    static void head_backward_##d(const float *q, const float *k, const float *v, const float *o,  \
                                  const float *g, const vec *share, vec *top, float *dq,           \
                                  float *dk, float *dv, float *room, long N, long wide) {          \
        if (unsafe(q, k, N, wide, d)) {                                                            \
            peaks(q, k, top, N, wide, d);                                                          \
            attend_backward(q, k, v, o, g, share, top, dq, dk, dv, room, N, wide, d, 1);           \
        } else                                                                                     \
            attend_backward(q, k, v, o, g, share, top, dq, dk, dv, room, N, wide, d, 0);           \
    }
WITH_WIDTH(1)
WITH_WIDTH(2)
WITH_WIDTH(4)

/* A tile from and to rows of N floats; what is beyond them in a tile becomes zero. */
INLINE void load(vec *tile, const float *x, long rows, long N, long blocks) {
    if (N % LANES) memset(tile, 0, (size_t)(rows * blocks) * sizeof(vec));
    for (long r = 0; r < rows; r++) memcpy(tile + r * blocks, x + r * N, (size_t)N * 4);
}
INLINE void store(const vec *tile, float *x, long rows, long N, long blocks) {
    for (long r = 0; r < rows; r++) memcpy(x + r * N, tile + r * blocks, (size_t)N * 4);
}

/* Zeros beyond the last token, so that nothing there is infinite or counts as a gradient */
INLINE void clear(vec *tile, long rows, long N, long blocks) {
    if (N % LANES)
        for (long r = 0; r < rows; r++)
            memset((float *)(tile + r * blocks) + N, 0, (size_t)(blocks * LANES - N) * 4);
}

/* The layer of one row up to its heads: tile x to scaled q, k and v */
INLINE void queries(const float *const *w, const vec *x, vec *qkv, long E, long N, long blocks,
                    long d) {
    linear(w[QKV_W], w[QKV_B], NULL, x, qkv, 3 * E, E, blocks);
    clear(qkv, 3 * E, N, blocks);
    float scale = LOG2E / sqrtf((float)d);
    for (long i = 0; i < E * blocks; i++) qkv[i] *= scale;
}

/* From the heads on: residual and norms; n1 and n2 are what they normalised, u is after the ReLU */
INLINE void rest(const float *const *w, const vec *in, const vec *o, vec *n1, vec *h, vec *u,
                 vec *n2, vec *out, vec *scales, long E, long blocks) {
    linear(w[MIX_W], w[MIX_B], in, o, n1, E, E, blocks);
    norm(n1, w[N1_W], w[N1_B], h, scales, E, blocks);
    linear(w[UP_W], w[UP_B], NULL, h, u, E, E, blocks);
    for (long i = 0; i < E * blocks; i++) u[i] = greater(u[i], all(0));
    linear(w[DOWN_W], w[DOWN_B], h, u, n2, E, E, blocks);
    norm(n2, w[N2_W], w[N2_B], out, scales + blocks, E, blocks);
}

INLINE void forward_rows(long B, long E, long N, const float *const *w, const float *x, float *y,
                         float *mixed, float *shares, vec *room, long d) {
    long blocks = (N + LANES - 1) / LANES, wide = blocks * LANES, tile = E * blocks, heads = E / d;
    vec *in = room, *qkv = in + tile, *o = qkv + 3 * tile, *n1 = o + tile, *h = n1 + tile,
        *u = h + tile, *n2 = u + tile, *out = n2 + tile, *share = out + tile,
        *scales = share + heads * blocks, *top = scales + 2 * blocks;
    for (long row = 0; row < B; row++) {
        load(in, x + row * E * N, E, N, blocks);
        queries(w, in, qkv, E, N, blocks, d);
        for (long head = 0; head < heads; head++) {
            const float *q = (float *)(qkv + head * d * blocks), *k = q + E * wide,
                        *v = k + E * wide;
            float *to = (float *)(o + head * d * blocks);
            vec *s = share + head * blocks;
            (d == 1 ? head_1 : d == 2 ? head_2 : head_4)(q, k, v, to, s, top, N, wide);
        }
        if (mixed) {
            store(o, mixed + row * E * N, E, N, blocks);
            store(share, shares + row * heads * N, heads, N, blocks);
        }
        rest(w, in, o, n1, h, u, n2, out, scales, E, blocks);
        store(out, y + row * E * N, E, N, blocks);
    }
}

/* Sizes of the weights, in the order of `enum weight` */
INLINE void sizes(long E, long *size) {
    long all_sizes[WEIGHTS] = {3 * E * E, 3 * E, E * E, E, E, E, E * E, E, E * E, E, E, E};
    memcpy(size, all_sizes, sizeof(all_sizes));
}

INLINE void backward_rows(long B, long E, long N, const float *const *w, const float *const *wt,
                          const float *x, const float *mixed, const float *shares,
                          const float *grad, float *dx, vec *const *dw, vec *room, long d) {
    long blocks = (N + LANES - 1) / LANES, wide = blocks * LANES, tile = E * blocks, heads = E / d;
    vec *in = room, *qkv = in + tile, *o = qkv + 3 * tile, *n1 = o + tile, *h = n1 + tile,
        *u = h + tile, *n2 = u + tile, *g = n2 + tile, *du = g + tile, *dqkv = du + tile,
        *share = dqkv + 3 * tile, *scales = share + heads * blocks, *top = scales + 2 * blocks,
        *more = top + blocks;
    for (long row = 0; row < B; row++) {
        load(in, x + row * E * N, E, N, blocks);
        load(o, mixed + row * E * N, E, N, blocks);
        load(share, shares + row * heads * N, heads, N, blocks);
        queries(w, in, qkv, E, N, blocks, d);
        rest(w, in, o, n1, h, u, n2, g, scales, E, blocks);
        load(g, grad + row * E * N, E, N, blocks);
        norm_backward(g, n2, scales + blocks, w[N2_W], dw[N2_W], dw[N2_B], E, blocks);
        linear_weights(g, u, dw[DOWN_W], dw[DOWN_B], E, E, blocks);
        linear(wt[DOWN_W], NULL, NULL, g, du, E, E, blocks);
        for (long i = 0; i < tile; i++) du[i] = (vec)((ivec)du[i] & (u[i] > 0));
        linear_weights(du, h, dw[UP_W], dw[UP_B], E, E, blocks);
        linear(wt[UP_W], NULL, g, du, g, E, E, blocks);
        norm_backward(g, n1, scales, w[N1_W], dw[N1_W], dw[N1_B], E, blocks);
        linear_weights(g, o, dw[MIX_W], dw[MIX_B], E, E, blocks);
        linear(wt[MIX_W], NULL, NULL, g, du, E, E, blocks);
        for (long head = 0; head < heads; head++) {
            long at = head * d * blocks;
            const float *q = (float *)(qkv + at), *k = q + E * wide, *v = k + E * wide;
            const float *from = (float *)(o + at), *up = (float *)(du + at);
            float *dq = (float *)(dqkv + at), *dk = dq + E * wide, *dv = dk + E * wide;
            const vec *s = share + head * blocks;
            (d == 1 ? head_backward_1 : d == 2 ? head_backward_2 : head_backward_4)(
                q, k, v, from, up, s, top, dq, dk, dv, (float *)more, N, wide);
        }
        clear(dqkv, 3 * E, N, blocks);
        linear_weights(dqkv, in, dw[QKV_W], dw[QKV_B], 3 * E, E, blocks);
        linear(wt[QKV_W], NULL, g, dqkv, g, E, 3 * E, blocks);
        store(g, dx + row * E * N, E, N, blocks);
    }
}

/* Rows of x (B, E, N) to y; with `mixed` (B, E, N) and `shares` (B, E / d, N), what the way back
   needs. The head width d is 1, 2 or 4. Not 0: no memory. */
int encoder_forward(long B, long E, long N, long d, const float *const *w, const float *x, float *y,
                    float *mixed, float *shares) {
    long blocks = (N + LANES - 1) / LANES;
    vec *room = vectors((12 * E + 3) * blocks + 1);
    if (!room) return 1;
    unsigned mode = fast_zeros();
    if (E == 16) /* the usual width has a copy of its own */
        forward_rows(B, 16, N, w, x, y, mixed, shares, room, d);
    else
        forward_rows(B, E, N, w, x, y, mixed, shares, room, d);
    restore_zeros(mode);
    free(room);
    return 0;
}

/* The gradient dx of x, and those of the weights, side by side in the order of `enum weight` */
int encoder_backward(long B, long E, long N, long d, const float *const *w, const float *x,
                     const float *mixed, const float *shares, const float *grad, float *dx,
                     float *weights) {
    long blocks = (N + LANES - 1) / LANES, size[WEIGHTS], count = 0;
    sizes(E, size);
    for (int i = 0; i < WEIGHTS; i++) count += size[i];
    vec *room = vectors((16 * E + 3 + 5) * blocks + 1), *sums = vectors(count);
    float *turned = malloc((size_t)count * sizeof(float));
    int failed = !room || !sums || !turned;
    if (!failed) {
        unsigned mode = fast_zeros();
        memset(sums, 0, (size_t)count * sizeof(vec));
        vec *dw[WEIGHTS];
        const float *wt[WEIGHTS];
        long at = 0;
        for (int i = 0; i < WEIGHTS; at += size[i++]) {
            long rows = size[i] / E;
            dw[i] = sums + at, wt[i] = turned + at;
            for (long r = 0; r < rows; r++)
                for (long e = 0; e < E; e++) turned[at + e * rows + r] = w[i][r * E + e];
        }
        if (E == 16)
            backward_rows(B, 16, N, w, wt, x, mixed, shares, grad, dx, dw, room, d);
        else
            backward_rows(B, E, N, w, wt, x, mixed, shares, grad, dx, dw, room, d);
        for (long i = 0; i < count; i++) weights[i] = total(sums[i]);
        restore_zeros(mode);
    }
    free(room), free(sums), free(turned);
    return failed;
}
