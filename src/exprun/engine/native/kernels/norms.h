/* Batch normalisation (Ioffe & Szegedy 2015) and layer normalisation (Ba, Kiros & Hinton 2016).

   x̂ = (x - mean) / √(variance + eps),  y = scale x̂ + shift; all of (units, ld). Batch normalisation takes
   mean and variance over the rows for each unit, layer normalisation over the units for each row. */
#ifndef EXPRUN_NORMS_H
#define EXPRUN_NORMS_H

#include <math.h>

#include "functions.h"

/* h ← y, with x̂ in normed and 1/√(variance + eps) in inverse (units,); the running mean and (unbiased)
   variance move by `momentum` towards those of these n rows. Columns up to `all` are computed. */
static void batch_norm_forward(float *h, float *normed, float *inverse, long ld, long u0, long u1, long n, long all,
                               const float *scale, const float *shift, float eps, float momentum,
                               float *running_mean, float *running_var)
{
    for (long u = u0; u < u1; u++) {
        float *restrict x = h + u * ld, *restrict y = normed + u * ld;
        const float mean = sum(x, n) / (float)n, variance = squares(x, mean, n) / (float)n;
        const float factor = 1.0f / __builtin_sqrtf(variance + eps);
        inverse[u] = factor;
        const float a = scale ? scale[u] : 1.0f, b = shift ? shift[u] : 0.0f;
        for (long r = 0; r < all; r++) {
            y[r] = (x[r] - mean) * factor;
            x[r] = __builtin_fmaf(y[r], a, b);
        }
        if (running_mean) {
            const float unbiased = variance * ((float)n / (float)(n - 1));
            running_mean[u] = __builtin_fmaf(momentum, mean - running_mean[u], running_mean[u]);
            running_var[u] = __builtin_fmaf(momentum, unbiased - running_var[u], running_var[u]);
        }
    }
}

/* Batch normalisation in evaluation mode: with the running statistics. */
static void batch_norm_evaluate(float *h, long ld, long u0, long u1, long all, const float *scale, const float *shift,
                                float eps, const float *running_mean, const float *running_var)
{
    for (long u = u0; u < u1; u++) {
        float *x = h + u * ld;
        const float factor = 1.0f / __builtin_sqrtf(running_var[u] + eps), mean = running_mean[u];
        const float a = scale ? scale[u] : 1.0f, b = shift ? shift[u] : 0.0f;
        for (long r = 0; r < all; r++) x[r] = __builtin_fmaf((x[r] - mean) * factor, a, b);
    }
}

/* dx from dy (units, ld): dx = scale/(n √…) (n dy - Σdy - x̂ Σ dy x̂). The sums are the gradients of shift
   and scale, (units,). */
static void batch_norm_backward(float *dx, const float *dy, const float *normed, const float *inverse, long ld,
                                long u0, long u1, long n, long all, const float *scale, float *scale_gradient,
                                float *shift_gradient)
{
    for (long u = u0; u < u1; u++) {
        const float *restrict g = dy + u * ld, *restrict y = normed + u * ld;
        float *restrict out = dx + u * ld;
        shift_gradient[u] = sum(g, n);
        scale_gradient[u] = dot(g, y, n);
        const float factor = (scale ? scale[u] : 1.0f) * inverse[u];
        const float a = shift_gradient[u] / (float)n, b = scale_gradient[u] / (float)n;
        for (long r = 0; r < all; r++) out[r] = factor * (g[r] - a - y[r] * b);
        for (long r = n; r < all; r++) out[r] = 0.0f; /* padding has no gradient */
    }
}

/* h ← y for rows r0 … r1 over all units, with x̂ in normed and 1/√(variance + eps) in inverse (rows,);
   work (rows,). `normed` may alias h if x̂ is not needed. */
static void layer_norm_forward(float *h, float *normed, float *restrict inverse, float *restrict work, long ld,
                               long units, long r0, long r1, const float *scale, const float *shift, float eps)
{
    for (long r = r0; r < r1; r++) work[r] = inverse[r] = 0.0f;
    for (long u = 0; u < units; u++)
        for (long r = r0; r < r1; r++) work[r] += h[u * ld + r];
    for (long r = r0; r < r1; r++) work[r] /= (float)units;
    for (long u = 0; u < units; u++)
        for (long r = r0; r < r1; r++) {
            const float d = h[u * ld + r] - work[r];
            inverse[r] = __builtin_fmaf(d, d, inverse[r]);
        }
    for (long r = r0; r < r1; r++) inverse[r] = 1.0f / __builtin_sqrtf(inverse[r] / (float)units + eps);
    for (long u = 0; u < units; u++) {
        const float a = scale ? scale[u] : 1.0f, b = shift ? shift[u] : 0.0f;
        for (long r = r0; r < r1; r++) {
            const float y = (h[u * ld + r] - work[r]) * inverse[r];
            normed[u * ld + r] = y;
            h[u * ld + r] = __builtin_fmaf(y, a, b);
        }
    }
}

/* dx from dy for rows r0 … r1; mean, share: (rows,) of work. */
static void layer_norm_backward(float *dx, const float *dy, const float *normed, const float *inverse, long ld,
                                long units, long r0, long r1, const float *scale, float *restrict mean,
                                float *restrict share)
{
    for (long r = r0; r < r1; r++) mean[r] = share[r] = 0.0f;
    for (long u = 0; u < units; u++) {
        const float a = scale ? scale[u] : 1.0f;
        for (long r = r0; r < r1; r++) {
            const float g = dy[u * ld + r] * a;
            mean[r] += g;
            share[r] = __builtin_fmaf(g, normed[u * ld + r], share[r]);
        }
    }
    for (long r = r0; r < r1; r++) {
        mean[r] /= (float)units;
        share[r] /= (float)units;
    }
    for (long u = 0; u < units; u++) {
        const float a = scale ? scale[u] : 1.0f;
        for (long r = r0; r < r1; r++)
            dx[u * ld + r] = inverse[r] * (dy[u * ld + r] * a - mean[r] - normed[u * ld + r] * share[r]);
    }
}

/* Gradients of scale and shift of layer normalisation, for units u0 … u1 over n rows. */
static void layer_norm_gradients(const float *dy, const float *normed, long ld, long u0, long u1, long n,
                                 float *scale_gradient, float *shift_gradient)
{
    for (long u = u0; u < u1; u++) {
        shift_gradient[u] = sum(dy + u * ld, n);
        scale_gradient[u] = dot(dy + u * ld, normed + u * ld, n);
    }
}

#endif
