/* One Transformer encoder layer (post-norm, Q = K = V), forwards and backwards, a few rows at a time:
   what they need stays in the core's own caches, and the matrices of attention weights are never
   written.

   Tiles are (features, places): the tokens of a row fill whole vectors of places, and those of
   the next row stand beside them. Places beyond a row's last token hold zeros or are never read.
   Weights stand in one array of pointers, in the order of `enum weight`. */

#include "heads.h"
#include "tiles.h"

enum weight { QKV_W, QKV_B, MIX_W, MIX_B, N1_W, N1_B, UP_W, UP_B, DOWN_W, DOWN_B, N2_W, N2_B, WEIGHTS };

#define PLACES 8 /* vectors of places in a tile, if a row does not need more */

/* Sizes of a call: rows, features, tokens, head width; vectors of a row's places, rows of a tile */
struct sizes { long B, E, N, d, each, rows; };

static struct sizes sized(long B, long E, long N, long d) {
    long each = (N + LANES - 1) / LANES, rows = each < PLACES ? PLACES / each : 1;
    return (struct sizes){B, E, N, d, each, rows};
}

/* Rows of each weight's matrix; whether it is one, with a width of E, or a vector */
static const struct { int rows, matrix; } SHAPES[WEIGHTS] = {
    {3, 1}, {3, 0}, {1, 1}, {1, 0}, {1, 0}, {1, 0}, {1, 1}, {1, 0}, {1, 1}, {1, 0}, {1, 0}, {1, 0},
};

/* What is computed of some rows up to the heads and behind them: n1 and n2 are what the norms
   normalised, u is after the ReLU, share holds reciprocal sums of weights, scales reciprocal
   deviations */
struct tiles { vec *in, *qkv, *o, *n1, *h, *u, *n2, *share, *scales, *top, *more; };

INLINE struct tiles tiles_in(vec *room, long E, long blocks, long heads) {
    struct tiles t;
    long tile = E * blocks;
    t.in = room, t.qkv = t.in + tile, t.o = t.qkv + 3 * tile, t.n1 = t.o + tile, t.h = t.n1 + tile;
    t.u = t.h + tile, t.n2 = t.u + tile, t.share = t.n2 + tile, t.scales = t.share + heads * blocks;
    t.top = t.scales + 2 * blocks, t.more = t.top + blocks;
    return t;
}

/* Tile `in` to scaled q, k and v of R rows */
static void queries(const float *const *w, struct tiles t, long R, long E, struct sizes s) {
    long blocks = R * s.each;
    linear(w[QKV_W], w[QKV_B], NULL, t.in, t.qkv, 3 * E, E, blocks);
    clear(t.qkv, R, 3 * E, s.N, blocks);
    float scale = LOG2E / sqrtf((float)s.d);
    for (long i = 0; i < E * blocks; i++) t.qkv[i] *= scale;
}

/* From the heads on: residual and norms */
static void rest(const float *const *w, struct tiles t, vec *out, long E, long blocks) {
    linear(w[MIX_W], w[MIX_B], t.in, t.o, t.n1, E, E, blocks);
    tile_norm(t.n1, w[N1_W], w[N1_B], t.h, t.scales, E, blocks);
    linear(w[UP_W], w[UP_B], NULL, t.h, t.u, E, E, blocks);
    for (long i = 0; i < E * blocks; i++) t.u[i] = greater(t.u[i], all(0));
    linear(w[DOWN_W], w[DOWN_B], t.h, t.u, t.n2, E, E, blocks);
    tile_norm(t.n2, w[N2_W], w[N2_B], out, t.scales + blocks, E, blocks);
}

/* All heads of row r of R: o and share from q, k and v */
INLINE void heads_forward(struct tiles t, long r, long R, struct sizes s, const int d) {
    long blocks = R * s.each, wide = blocks * LANES, from = r * s.each;
    const float *q = (float *)(t.qkv + from), *k = q + s.E * wide, *v = k + s.E * wide;
    float *o = (float *)(t.o + from);
    int exact = unsafe(q, k, s.E, wide, s.each, d);
    for (long h = 0; h < s.E; h += d) {
        long at = h * wide;
        vec *share = t.share + h / d * blocks + from;
        if (exact)
            attend(q + at, k + at, v + at, o + at, share, t.top, s.N, wide, s.each, d, 1);
        else
            attend(q + at, k + at, v + at, o + at, share, t.top, s.N, wide, s.each, d, 0);
    }
}

/* Their gradients dqkv, from those of o */
INLINE void heads_backward(struct tiles t, const vec *grad, vec *dqkv, long r, long R,
                           struct sizes s, const int d) {
    long blocks = R * s.each, wide = blocks * LANES, from = r * s.each;
    const float *q = (float *)(t.qkv + from), *k = q + s.E * wide, *v = k + s.E * wide;
    const float *o = (float *)(t.o + from), *g = (float *)(grad + from);
    float *dq = (float *)(dqkv + from), *dk = dq + s.E * wide, *dv = dk + s.E * wide;
    int exact = unsafe(q, k, s.E, wide, s.each, d);
    for (long h = 0; h < s.E; h += d) {
        long at = h * wide;
        const vec *share = t.share + h / d * blocks + from;
        if (exact)
            attend_backward(q + at, k + at, v + at, o + at, g + at, share, t.top, dq + at, dk + at,
                            dv + at, t.more, s.N, wide, s.each, d, 1);
        else
            attend_backward(q + at, k + at, v + at, o + at, g + at, share, t.top, dq + at, dk + at,
                            dv + at, t.more, s.N, wide, s.each, d, 0);
    }
}

/* What takes the head width from the compiler is several times faster, so each has its own copy. */
#define WITH_WIDTH(d)                                                                              \
    static void __attribute__((noinline))                                                          \
        heads_forward_##d(struct tiles t, long r, long R, struct sizes s) {                        \
        heads_forward(t, r, R, s, d);                                                              \
    }                                                                                              \
    static void __attribute__((noinline)) heads_backward_##d(                                      \
        struct tiles t, const vec *grad, vec *dqkv, long r, long R, struct sizes s) {              \
        heads_backward(t, grad, dqkv, r, R, s, d);                                                 \
    }
WITH_WIDTH(1)
WITH_WIDTH(2)
WITH_WIDTH(4)

static void forward(struct sizes s, const float *const *w, const float *x, float *y, float *mixed,
                    float *shares, vec *room) {
    long E = s.E, heads = E / s.d;
    for (long row = 0; row < s.B; row += s.rows) {
        long R = s.B - row < s.rows ? s.B - row : s.rows, blocks = R * s.each;
        struct tiles t = tiles_in(room, E, blocks, heads);
        load(t.in, x + row * E * s.N, R, E, s.N, blocks);
        queries(w, t, R, E, s);
        for (long r = 0; r < R; r++)
            (s.d == 1 ? heads_forward_1 : s.d == 2 ? heads_forward_2 : heads_forward_4)(t, r, R, s);
        if (mixed) {
            store(t.o, mixed + row * E * s.N, R, E, s.N, blocks);
            store(t.share, shares + row * heads * s.N, R, heads, s.N, blocks);
        }
        rest(w, t, t.qkv, E, blocks); /* q is not needed any more */
        store(t.qkv, y + row * E * s.N, R, E, s.N, blocks);
    }
}

/* `wt` are the matrices of w, transposed; dw are sums, as `linear_weights` and `tile_norm_backward`
   have them */
static void backward(struct sizes s, const float *const *w, const float *const *wt,
                     const float *x, const float *mixed, const float *shares, const float *grad,
                     float *dx, vec *const *dw, vec *room) {
    long E = s.E, heads = E / s.d, most = s.rows * s.each, lanes = (E + LANES - 1) / LANES * LANES;
    vec *g = room, *du = g + E * most, *dqkv = du + E * most, *flat = dqkv + 3 * E * most;
    room = flat + lanes * most;
    for (long row = 0; row < s.B; row += s.rows) {
        long R = s.B - row < s.rows ? s.B - row : s.rows, blocks = R * s.each, tile = E * blocks;
        struct tiles t = tiles_in(room, E, blocks, heads);
        load(t.in, x + row * E * s.N, R, E, s.N, blocks);
        load(t.o, mixed + row * E * s.N, R, E, s.N, blocks);
        load(t.share, shares + row * heads * s.N, R, heads, s.N, blocks);
        queries(w, t, R, E, s);
        rest(w, t, g, E, blocks);
        load(g, grad + row * E * s.N, R, E, s.N, blocks);
        tile_norm_backward(g, t.n2, t.scales + blocks, w[N2_W], dw[N2_W], dw[N2_B], E, blocks);
        turn(t.u, flat, E, blocks);
        linear_weights(g, flat, dw[DOWN_W], dw[DOWN_B], E, E, blocks);
        linear(wt[DOWN_W], NULL, NULL, g, du, E, E, blocks);
        for (long i = 0; i < tile; i++) du[i] = (vec)((ivec)du[i] & (t.u[i] > 0));
        turn(t.h, flat, E, blocks);
        linear_weights(du, flat, dw[UP_W], dw[UP_B], E, E, blocks);
        linear(wt[UP_W], NULL, g, du, g, E, E, blocks);
        tile_norm_backward(g, t.n1, t.scales, w[N1_W], dw[N1_W], dw[N1_B], E, blocks);
        turn(t.o, flat, E, blocks);
        linear_weights(g, flat, dw[MIX_W], dw[MIX_B], E, E, blocks);
        linear(wt[MIX_W], NULL, NULL, g, du, E, E, blocks);
        for (long r = 0; r < R; r++)
            (s.d == 1   ? heads_backward_1
             : s.d == 2 ? heads_backward_2
                        : heads_backward_4)(t, du, dqkv, r, R, s);
        clear(dqkv, R, 3 * E, s.N, blocks);
        turn(t.in, flat, E, blocks);
        linear_weights(dqkv, flat, dw[QKV_W], dw[QKV_B], 3 * E, E, blocks);
        linear(wt[QKV_W], NULL, g, dqkv, g, E, 3 * E, blocks);
        store(g, dx + row * E * s.N, R, E, s.N, blocks);
    }
}

/* Vectors that `tiles_in` needs, with those behind its last one */
static long room_of(struct sizes s) {
    return (9 * s.E + 3 + s.E / s.d) * s.rows * s.each + (33 * s.d + 1) * s.each;
}

/* Rows of x (B, E, N) to y; with `mixed` (B, E, N) and `shares` (B, E / d, N), what the way back
   needs. The head width d is 1, 2 or 4. Not 0: no memory. */
int encoder_forward(long B, long E, long N, long d, const float *const *w, const float *x, float *y,
                    float *mixed, float *shares) {
    struct sizes s = sized(B, E, N, d);
    vec *room = vectors(room_of(s));
    if (!room) return 1;
    unsigned mode = fast_zeros();
    forward(s, w, x, y, mixed, shares, room);
    restore_zeros(mode);
    free(room);
    return 0;
}

/* The gradient dx of x, and those of the weights, side by side in the order of `enum weight` */
int encoder_backward(long B, long E, long N, long d, const float *const *w, const float *x,
                     const float *mixed, const float *shares, const float *grad, float *dx,
                     float *weights) {
    struct sizes s = sized(B, E, N, d);
    long wide = (E + LANES - 1) / LANES, sums = 0, numbers = 0;
    for (int i = 0; i < WEIGHTS; i++) {
        sums += SHAPES[i].rows * E * (SHAPES[i].matrix ? wide : 1);
        numbers += SHAPES[i].rows * E * (SHAPES[i].matrix ? E : 1);
    }
    vec *room = vectors(room_of(s) + (5 * E + wide * LANES) * s.rows * s.each), *sum = vectors(sums);
    float *turned = malloc((size_t)numbers * sizeof(float));
    int failed = !room || !sum || !turned;
    if (!failed) {
        unsigned mode = fast_zeros();
        memset(sum, 0, (size_t)sums * sizeof(vec));
        vec *dw[WEIGHTS], *next = sum;
        const float *wt[WEIGHTS];
        float *to = turned;
        for (int i = 0; i < WEIGHTS; i++) {
            long rows = SHAPES[i].rows * E;
            dw[i] = next, next += rows * (SHAPES[i].matrix ? wide : 1), wt[i] = to;
            if (!SHAPES[i].matrix) continue;
            for (long r = 0; r < rows; r++)
                for (long e = 0; e < E; e++) to[e * rows + r] = w[i][r * E + e];
            to += rows * E;
        }
        backward(s, w, wt, x, mixed, shares, grad, dx, dw, room);
        for (int i = 0; i < WEIGHTS; i++)
            for (long r = 0; r < SHAPES[i].rows * E; r++)
                if (SHAPES[i].matrix) {
                    memcpy(weights, dw[i] + r * wide, (size_t)E * sizeof(float));
                    weights += E;
                } else
                    *weights++ = total(dw[i][r]);
        restore_zeros(mode);
    }
    free(room), free(sum), free(turned);
    return failed;
}
