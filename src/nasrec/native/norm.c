/* LayerNorm of rows, and the ReLU behind it, in one pass: a row stays in registers or in the first
   cache. Sums of a row are taken lane by lane, then over the lanes, so a row's result does not
   depend on its place. */

#include "vectors.h"

#define EPS 1e-5f

/* 1 within the row, 0 beyond it */
INLINE vec inside(long b, long width) {
    vec x;
    float lanes[LANES];
    for (int l = 0; l < LANES; l++) lanes[l] = b * LANES + l < width;
    memcpy(&x, lanes, sizeof(x));
    return x;
}

INLINE void forward(long rows, long width, const float *x, const float *gain, const float *bias,
                    int relu, float *y, float *moments) {
    long blocks = (width + LANES - 1) / LANES;
    vec last = inside(blocks - 1, width);
    for (long r = 0; r < rows; r++, x += width, y += width) {
        vec sum = {0}, squares = {0};
        for (long b = 0; b < blocks; b++) sum += part(x, b, width);
        float mean = total(sum) / (float)width;
        for (long b = 0; b < blocks; b++) {
            vec c = part(x, b, width) - mean;
            if (b == blocks - 1) c *= last;
            squares += c * c;
        }
        float scale = 1 / sqrtf(total(squares) / (float)width + EPS);
        for (long b = 0; b < blocks; b++) {
            vec n = (part(x, b, width) - mean) * scale;
            n = n * part(gain, b, width) + part(bias, b, width);
            put(relu ? greater(n, all(0)) : n, y, b, width);
        }
        if (moments) moments[2 * r] = mean, moments[2 * r + 1] = scale;
    }
}

INLINE void backward(long rows, long width, const float *x, const float *gain, const float *bias,
                     int relu, const float *moments, const float *grad, float *dx, vec *dgain,
                     vec *dbias) {
    long blocks = (width + LANES - 1) / LANES;
    for (long r = 0; r < rows; r++, x += width, grad += width, dx += width) {
        float mean = moments[2 * r], scale = moments[2 * r + 1];
        vec sum = {0}, along = {0};
        for (long b = 0; b < blocks; b++) {
            vec n = (part(x, b, width) - mean) * scale, g = part(grad, b, width);
            vec w = part(gain, b, width);
            if (relu) g = (vec)((ivec)g & (n * w + part(bias, b, width) > 0));
            dgain[b] += g * n, dbias[b] += g;
            g *= w;
            sum += g, along += g * n;
            put(g, dx, b, width);
        }
        float s = total(sum) / (float)width, a = total(along) / (float)width;
        for (long b = 0; b < blocks; b++) {
            vec n = (part(x, b, width) - mean) * scale;
            put((part(dx, b, width) - s - n * a) * scale, dx, b, width);
        }
    }
}

/* These widths are those of the tokens: their loops have known ends. */
#define BY_WIDTH(call)                                                                             \
    switch (width) {                                                                               \
    case 16: call(16); break;                                                                      \
    case 32: call(32); break;                                                                      \
    case 48: call(48); break;                                                                      \
    case 64: call(64); break;                                                                      \
    default:                                                                                       \
        if (width % LANES == 0) call(width / LANES * LANES);                                       \
        else call(width);                                                                          \
    }

/* y = LayerNorm(x) gain + bias, and its ReLU; `moments` (rows, 2) for the way back, or none */
int norm_forward(long rows, long width, const float *x, const float *gain, const float *bias,
                  long relu, float *y, float *moments) {
    unsigned mode = fast_zeros();
#define CALL(width)                                                                                \
    if (relu) forward(rows, width, x, gain, bias, 1, y, moments);                                  \
    else forward(rows, width, x, gain, bias, 0, y, moments)
    BY_WIDTH(CALL)
#undef CALL
    restore_zeros(mode);
    return 0;
}

/* Gradients of x, and of gain and bias side by side in `weights` (2, width); not 0: no memory */
int norm_backward(long rows, long width, const float *x, const float *gain, const float *bias,
                  long relu, const float *moments, const float *grad, float *dx, float *weights) {
    long blocks = (width + LANES - 1) / LANES;
    vec *sums = vectors(2 * blocks);
    if (!sums) return 1;
    memset(sums, 0, (size_t)(2 * blocks) * sizeof(vec));
    unsigned mode = fast_zeros();
#define CALL(width)                                                                                \
    if (relu)                                                                                      \
        backward(rows, width, x, gain, bias, 1, moments, grad, dx, sums, sums + blocks);           \
    else                                                                                           \
        backward(rows, width, x, gain, bias, 0, moments, grad, dx, sums, sums + blocks)
    BY_WIDTH(CALL)
#undef CALL
    for (long b = 0; b < blocks; b++)
        put(sums[b], weights, b, width), put(sums[blocks + b], weights + width, b, width);
    restore_zeros(mode);
    free(sums);
    return 0;
}
