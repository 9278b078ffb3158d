/* Adam in one pass over weight, both moments and gradient, on slices. */

#include "vectors.h"

/* Learning rate over the first moment's bias, root of the second's, the rest of the settings */
struct step { float rate, bias, eps, second, to_first, to_second; };

/* mean and square go towards g and g²; w -= rate mean / (√square / bias + eps), on a row */
INLINE void update(float *w, float *mean, float *square, const float *grad, long width,
                   struct step by) {
    for (long b = 0; b * LANES < width; b++) {
        vec g = part(grad, b, width), m = part(mean, b, width), s = part(square, b, width);
        m += by.to_first * (g - m);
        s = s * by.second + by.to_second * g * g;
        put(m, mean, b, width);
        put(s, square, b, width);
        put(part(w, b, width) - by.rate * m / (root(s) / by.bias + by.eps), w, b, width);
    }
}

/* Matrices with contiguous rows: where weight, moments and gradient are, rows, width, the strides of
   weight and moments, and the bits of the learning rate over the first moment's bias and of the root
   of the second's (doubles) */
struct matrix {
    float *weight, *mean, *square, *grad;
    int64_t rows, width, weight_stride, mean_stride, square_stride;
    double rate, bias;
};

int adam_matrices(long count, const struct matrix *all_of_them, double eps, double first,
                  double second) {
    for (const struct matrix *m = all_of_them; m < all_of_them + count; m++) {
        struct step by = {(float)m->rate, (float)m->bias, (float)eps, (float)second,
                          (float)(1 - first), (float)(1 - second)};
        for (int64_t r = 0; r < m->rows; r++)
            update(m->weight + r * m->weight_stride, m->mean + r * m->mean_stride,
                   m->square + r * m->square_stride, m->grad + r * m->width, m->width, by);
    }
    return 0;
}
