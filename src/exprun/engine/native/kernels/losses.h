/* Losses of the rows, and their gradient with respect to the outputs z (out, ld).

   A row's loss is multiplied by the `weight` of its class; the gradient also by `scale`, 1/n for a mean over
   rows. rows[r] is the target row of column r. Columns n … r1 are padding with zero gradient. */
#ifndef EXPRUN_LOSSES_H
#define EXPRUN_LOSSES_H

#include "functions.h"
#include "native.h"

typedef struct {
    const Rows *data;
    const int64_t *rows; /* NULL: column r is row `first` + r */
    int64_t first;
    long n, out, ld;
    float scale, smoothing, shares, delta; /* shares: number of classes that smoothing is spread over */
} Answers;

INLINE int64_t row_of(const Answers *a, long r) { return a->rows ? a->rows[r] : a->first + r; }

INLINE float weight_of(const Answers *a, int64_t row) { return a->data->weights ? a->data->weights[row] : 1.0f; }

/* loss (ld,) and, unless it is NULL, dz (out, ld) for columns r0 … r1. With probabilities p = softmax(z):
   loss = -Σ t log p, dz = p - t; t is 1 - s for the true class, plus s/out for every class. */
static void cross_entropy(const Answers *a, const float *z, float *restrict dz, float *restrict loss, long r0, long r1)
{
    const long ld = a->ld, out = a->out;
    const float others = a->smoothing / (float)out, truth = 1.0f - a->smoothing;
    for (long base = r0; base < r1; base += LANES) {
        float top[LANES], sum[LANES] = {0}, all[LANES] = {0}, weight[LANES] = {0}, log_sum[LANES];
        int32_t id[LANES] = {0};
        const long rows = a->n - base < LANES ? a->n - base : LANES;
        for (long l = 0; l < rows; l++) {
            const int64_t row = row_of(a, base + l);
            id[l] = (int32_t)a->data->ids[row];
            weight[l] = weight_of(a, row);
        }
        for (long l = 0; l < LANES; l++) top[l] = z[base + l];
        for (long c = 1; c < out; c++)
            for (long l = 0; l < LANES; l++) top[l] = larger(top[l], z[c * ld + base + l]);
        for (long c = 0; c < out; c++)
            for (long l = 0; l < LANES; l++) {
                const float below = z[c * ld + base + l] - top[l], e = exponential(below);
                if (dz) dz[c * ld + base + l] = e;
                sum[l] += e;
                all[l] += below;
            }
        for (long l = 0; l < LANES; l++) log_sum[l] = logarithm(sum[l]);
        for (long l = 0; l < rows; l++) {
            const float own = log_sum[l] - (z[id[l] * ld + base + l] - top[l]);
            const float mean = (float)out * log_sum[l] - all[l];
            loss[base + l] = (a->smoothing ? __builtin_fmaf(truth, own, others * mean) : own) * weight[l];
        }
        if (!dz) continue;
        float factor[LANES], share[LANES];
        for (long l = 0; l < LANES; l++) {
            factor[l] = weight[l] * a->scale;
            share[l] = factor[l] / sum[l];
        }
        for (long c = 0; c < out; c++)
            for (long l = 0; l < LANES; l++) {
                const float target = (c == id[l] ? truth : 0.0f) + others;
                dz[c * ld + base + l] = l < rows ? __builtin_fmaf(dz[c * ld + base + l], share[l], -target * factor[l]) : 0.0f;
            }
    }
}

/* Elementwise losses: sum or mean over a row's outputs of a function of z and the target t. */
INLINE float binary_cross_entropy(float z, float t, float delta, float *slope)
{
    (void)delta;
    *slope = sigmoid(z) - t; /* loss = softplus(z) - t z */
    return __builtin_fmaf(-t, z, soft_plus(z));
}

INLINE float squared_error(float z, float t, float delta, float *slope)
{
    (void)delta;
    *slope = 2.0f * (z - t);
    return (z - t) * (z - t);
}

INLINE float absolute_error(float z, float t, float delta, float *slope)
{
    (void)delta;
    *slope = z > t ? 1.0f : z < t ? -1.0f : 0.0f;
    return __builtin_fabsf(z - t);
}

INLINE float huber(float z, float t, float delta, float *slope)
{
    const float error = z - t, size = __builtin_fabsf(error);
    *slope = size <= delta ? error : error > 0.0f ? delta : -delta;
    return size <= delta ? 0.5f * error * error : delta * (size - 0.5f * delta);
}

INLINE float poisson(float z, float t, float delta, float *slope)
{
    (void)delta;
    const float mean = exponential(z);
    *slope = mean - t;
    return __builtin_fmaf(-t, z, mean);
}

INLINE void elementwise(float (*const function)(float, float, float, float *), const Answers *a, int mean, const float *z,
                        float *restrict dz, float *restrict loss, long r0, long r1)
{
    const long ld = a->ld, out = a->out;
    const float share = mean ? 1.0f / (float)out : 1.0f;
    const float truth = 1.0f - a->smoothing, others = a->smoothing ? a->smoothing / a->shares : 0.0f;
    for (long r = r0; r < r1; r++) {
        if (r >= a->n) {
            for (long c = 0; dz && c < out; c++) dz[c * ld + r] = 0.0f;
            continue;
        }
        const int64_t row = row_of(a, r);
        const float weight = weight_of(a, row), *targets = a->data->targets + row * out;
        float sum = 0.0f;
        for (long c = 0; c < out; c++) {
            float slope;
            sum += function(z[c * ld + r], __builtin_fmaf(targets[c], truth, others), a->delta, &slope);
            if (dz) dz[c * ld + r] = slope * share * weight * a->scale;
        }
        loss[r] = sum * share * weight;
    }
}

static void compute_loss(int loss, const Answers *a, const float *z, float *dz, float *losses, long r0, long r1)
{
    switch (loss) {
        case CROSS_ENTROPY: cross_entropy(a, z, dz, losses, r0, r1); break;
        case BINARY_CROSS_ENTROPY: elementwise(binary_cross_entropy, a, 0, z, dz, losses, r0, r1); break;
        case SQUARED_ERROR: elementwise(squared_error, a, 1, z, dz, losses, r0, r1); break;
        case ABSOLUTE_ERROR: elementwise(absolute_error, a, 1, z, dz, losses, r0, r1); break;
        case HUBER: elementwise(huber, a, 1, z, dz, losses, r0, r1); break;
        case POISSON: elementwise(poisson, a, 1, z, dz, losses, r0, r1); break;
    }
}

#endif
