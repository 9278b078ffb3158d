/* LayerNorm of rows, and the ReLU behind it: as many rows at a time as a vector has lanes, so that
   what is one number a row is one vector for all of them. Sums of a row are taken lane by lane, then
   over the lanes, so a row's result does not depend on its place. */

#include "vectors.h"

#define EPS 1e-5f

/* LANES rows in whole vectors, or `rows` where fewer are left; numbers beyond a row's end are zeros */
struct group { const float *x, *grad; float *y, *moments; long rows, blocks, width; };

/* Rows in fours, whose sums do not wait for one another, then one by one */
#define IN_FOURS(call)                                                                             \
    do {                                                                                           \
        long r = 0;                                                                                \
        for (; r + 4 <= g.rows; r += 4) call(4);                                                   \
        for (; r < g.rows; r++) call(1);                                                           \
    } while (0)

/* Sums of rows r to r + n, or with means of the squared distances from them. `last` is 1 within the
   rows and 0 behind them in the last block of each. */
INLINE void sums(struct group g, long r, const float *means, const vec *last, vec *to, const int n) {
    vec sum[4];
    EACH for (int i = 0; i < n; i++) sum[i] = all(0);
    for (long b = 0; b < g.blocks; b++)
        EACH for (int i = 0; i < n; i++) {
            vec x = get(g.x + ((r + i) * g.blocks + b) * LANES);
            if (means) x -= means[r + i];
            if (means && last && b == g.blocks - 1) x *= *last;
            sum[i] += means ? x * x : x;
        }
    EACH for (int i = 0; i < n; i++) to[r + i] = sum[i];
}

INLINE void forward(struct group g, const vec *gain, const vec *bias, const vec *last,
                    const int relu) {
    vec sum[LANES], mean, scale;
    float means[LANES], scales[LANES];
    memset(sum, 0, sizeof(sum));
#define CALL(n) sums(g, r, NULL, last, sum, n)
    IN_FOURS(CALL);
#undef CALL
    mean = totals(sum) / (float)g.width;
    memcpy(means, &mean, sizeof(mean));
#define CALL(n) sums(g, r, means, last, sum, n)
    IN_FOURS(CALL);
#undef CALL
    scale = rsqrt(totals(sum) / (float)g.width + EPS);
    memcpy(scales, &scale, sizeof(scale));
    for (long r = 0; r < g.rows; r++) {
        for (long b = 0; b < g.blocks; b++) {
            long at = (r * g.blocks + b) * LANES;
            vec y = (get(g.x + at) - means[r]) * scales[r] * gain[b] + bias[b];
            set(relu ? greater(y, all(0)) : y, g.y + at);
        }
        if (g.moments) g.moments[2 * r] = means[r], g.moments[2 * r + 1] = scales[r];
    }
}

/* Of rows r to r + n: gradients of gain and bias; y becomes the gradient of what was normalised, of
   which the sums along all ones and along what was normalised are taken */
INLINE void upwards(struct group g, long r, const vec *gain, const vec *bias, vec *dgain,
                    vec *dbias, vec *ones, vec *along, const int relu, const int n) {
    vec sum[4], dots[4];
    EACH for (int i = 0; i < n; i++) sum[i] = dots[i] = all(0);
    for (long b = 0; b < g.blocks; b++) {
        vec w = gain[b], dw = dgain[b], db = dbias[b];
        EACH for (int i = 0; i < n; i++) {
            long at = ((r + i) * g.blocks + b) * LANES;
            const float *moments = g.moments + 2 * (r + i);
            vec normal = (get(g.x + at) - moments[0]) * moments[1], up = get(g.grad + at);
            if (relu) up = (vec)((ivec)up & (normal * w + bias[b] > 0));
            dw += up * normal, db += up;
            up *= w;
            sum[i] += up, dots[i] += up * normal;
            set(up, g.y + at);
        }
        dgain[b] = dw, dbias[b] = db;
    }
    EACH for (int i = 0; i < n; i++) ones[r + i] = sum[i], along[r + i] = dots[i];
}

INLINE void backward(struct group g, const vec *gain, const vec *bias, vec *dgain, vec *dbias,
                     const int relu) {
    vec ones[LANES], along[LANES];
    memset(ones, 0, sizeof(ones)), memset(along, 0, sizeof(along));
#define CALL(n) upwards(g, r, gain, bias, dgain, dbias, ones, along, relu, n)
    IN_FOURS(CALL);
#undef CALL
    vec s = totals(ones) / (float)g.width, a = totals(along) / (float)g.width;
    float shift[LANES], slope[LANES];
    memcpy(shift, &s, sizeof(s)), memcpy(slope, &a, sizeof(a));
    for (long r = 0; r < g.rows; r++)
        for (long b = 0; b < g.blocks; b++) {
            long at = (r * g.blocks + b) * LANES;
            vec normal = (get(g.x + at) - g.moments[2 * r]) * g.moments[2 * r + 1];
            vec down = get(g.y + at) - shift[r] - normal * slope[r];
            set(down * g.moments[2 * r + 1], g.y + at);
        }
}

/* Loops over one to four blocks have known ends: a copy of the code for each. */
#define BY_BLOCKS(call)                                                                            \
    do {                                                                                           \
        if (g.blocks == 1) g.blocks = 1, call;                                                     \
        else if (g.blocks == 2) g.blocks = 2, call;                                                \
        else if (g.blocks == 3) g.blocks = 3, call;                                                \
        else if (g.blocks == 4) g.blocks = 4, call;                                                \
        else call;                                                                                 \
    } while (0)

static void forward_group(struct group g, const vec *gain, const vec *bias, const vec *last,
                          int relu) {
    if (last) forward(g, gain, bias, last, relu);
    else if (relu) BY_BLOCKS(forward(g, gain, bias, NULL, 1));
    else BY_BLOCKS(forward(g, gain, bias, NULL, 0));
}

static void backward_group(struct group g, const vec *gain, const vec *bias, vec *dgain,
                           vec *dbias, int relu) {
    if (relu) BY_BLOCKS(backward(g, gain, bias, dgain, dbias, 1));
    else BY_BLOCKS(backward(g, gain, bias, dgain, dbias, 0));
}

/* Rows of `width` to and from rows of whole vectors */
static void spread(const float *from, float *to, long rows, long width, long padded) {
    for (long r = 0; r < rows; r++) memcpy(to + r * padded, from + r * width, (size_t)width * 4);
}
static void gather(const float *from, float *to, long rows, long width, long padded) {
    for (long r = 0; r < rows; r++) memcpy(to + r * width, from + r * padded, (size_t)width * 4);
}

/* y = LayerNorm(x) gain + bias, and its ReLU; `moments` (rows, 2) for the way back, or none. Not 0:
   no memory */
int norm_forward(long rows, long width, long relu, const float *x, const float *gain,
                 const float *bias, float *y, float *moments) {
    long blocks = (width + LANES - 1) / LANES, padded = blocks * LANES;
    vec *room = vectors((2 + 2 * LANES) * blocks + 1);
    if (!room) return 1;
    memset(room, 0, (size_t)((2 + 2 * LANES) * blocks + 1) * sizeof(vec));
    vec *w = room, *b = w + blocks, *last = b + blocks;
    float *in = (float *)(last + 1), *out = in + LANES * padded;
    spread(gain, (float *)w, 1, width, padded), spread(bias, (float *)b, 1, width, padded);
    for (long l = 0; l < LANES; l++) ((float *)last)[l] = (blocks - 1) * LANES + l < width;
    unsigned mode = fast_zeros();
    for (long r = 0; r < rows; r += LANES, x += LANES * width, y += LANES * width) {
        long count = rows - r < LANES ? rows - r : LANES;
        struct group g = {x, NULL, y, moments ? moments + 2 * r : NULL, count, blocks, width};
        if (width == padded) {
            forward_group(g, w, b, NULL, (int)relu);
            continue;
        }
        g.x = in, g.y = out;
        spread(x, in, count, width, padded);
        forward_group(g, w, b, last, (int)relu);
        gather(out, y, count, width, padded);
    }
    restore_zeros(mode);
    free(room);
    return 0;
}

/* Gradients of x, and of gain and bias side by side in `weights` (2, width); not 0: no memory */
int norm_backward(long rows, long width, long relu, const float *x, const float *gain,
                  const float *bias, const float *moments, const float *grad, float *dx,
                  float *weights) {
    long blocks = (width + LANES - 1) / LANES, padded = blocks * LANES;
    vec *room = vectors((4 + 3 * LANES) * blocks);
    if (!room) return 1;
    memset(room, 0, (size_t)((4 + 3 * LANES) * blocks) * sizeof(vec));
    vec *w = room, *b = w + blocks, *dw = b + blocks, *db = dw + blocks;
    float *in = (float *)(db + blocks), *up = in + LANES * padded, *down = up + LANES * padded;
    spread(gain, (float *)w, 1, width, padded), spread(bias, (float *)b, 1, width, padded);
    unsigned mode = fast_zeros();
    for (long r = 0; r < rows; r += LANES, x += LANES * width, grad += LANES * width, dx += LANES * width) {
        long count = rows - r < LANES ? rows - r : LANES;
        struct group g = {x, grad, dx, (float *)moments + 2 * r, count, blocks, width};
        if (width == padded) {
            backward_group(g, w, b, dw, db, (int)relu);
            continue;
        }
        g.x = in, g.grad = up, g.y = down;
        spread(x, in, count, width, padded), spread(grad, up, count, width, padded);
        backward_group(g, w, b, dw, db, (int)relu);
        gather(down, dx, count, width, padded);
    }
    gather((float *)dw, weights, 1, width, padded), gather((float *)db, weights + width, 1, width, padded);
    restore_zeros(mode);
    free(room);
    return 0;
}
