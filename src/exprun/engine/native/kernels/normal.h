/* Normal numbers from uniform ones by Box and Muller's transform, with the bits of torch's kernels for AVX2.

   The functions are those of Cephes for single precision (Moshier), as avx_mathfun.h has them (Pommier and Garberoglio) and
   with the fused multiply-adds that gcc makes of it; common/random_numbers.py has the same ones in numpy. */
#ifndef EXPRUN_NORMAL_H
#define EXPRUN_NORMAL_H

#include "functions.h"

enum { HALF_BLOCK = 8 }; /* radii, then as many angles */

/* Natural logarithm of a normal number x > 0. */
INLINE float cephes_logarithm(float x)
{
    const int32_t bits = bits_of(x);
    const float mantissa = float_of((bits & 0x7fffff) | 0x3f000000); /* ½ ≤ mantissa < 1 */
    const int32_t small = mantissa < 0.707106781f;
    const float f = (small ? 2.0f * mantissa : mantissa) - 1.0f, s = f * f, k = (float)((bits >> 23) - 126 - small);
    float y = 7.0376836292e-2f;
    y = __builtin_fmaf(y, f, -1.1514610310e-1f);
    y = __builtin_fmaf(y, f, 1.1676998740e-1f);
    y = __builtin_fmaf(y, f, -1.2420140846e-1f);
    y = __builtin_fmaf(y, f, 1.4249322787e-1f);
    y = __builtin_fmaf(y, f, -1.6668057665e-1f);
    y = __builtin_fmaf(y, f, 2.0000714765e-1f);
    y = __builtin_fmaf(y, f, -2.4999993993e-1f);
    y = __builtin_fmaf(y, f, 3.3333331174e-1f);
    y = __builtin_fmaf(y * f, s, k * -2.12194440e-4f);
    y = __builtin_fmaf(s, -0.5f, y);
    return __builtin_fmaf(k, 0.693359375f, f + y);
}

/* Sine and cosine of x from 0 to 8192. */
INLINE void cephes_sine_and_cosine(float x, float *sine, float *cosine)
{
    int32_t octant = (int32_t)(x * 1.27323954f);
    octant += octant & 1;
    const float k = (float)octant;
    x = __builtin_fmaf(k, -0.78515625f, x);
    x = __builtin_fmaf(k, -2.4187564849853515625e-4f, x);
    x = __builtin_fmaf(k, -3.77489497744594108e-8f, x);
    const float s = x * x;
    float a = -1.9515295891e-4f, b = 2.443315711809948e-5f;
    a = __builtin_fmaf(a, s, 8.3321608736e-3f);
    a = __builtin_fmaf(a, s, -1.6666654611e-1f);
    a = __builtin_fmaf(a * s, x, x);
    b = __builtin_fmaf(b, s, -1.388731625493765e-3f);
    b = __builtin_fmaf(b, s, 4.166664568298827e-2f);
    b = __builtin_fmaf(b * s, s, -0.5f * s) + 1.0f;
    const int32_t quadrant = octant >> 1 & 3;
    const float u = quadrant & 1 ? b : a, v = quadrant & 1 ? a : b;
    *sine = quadrant >= 2 ? -u : u;
    *cosine = quadrant == 1 || quadrant == 2 ? -v : v;
}

/* x: blocks of HALF_BLOCK and HALF_BLOCK uniform numbers 0 ≤ u < 1; they become numbers from normal(mean, std). */
static void normal(float *x, int64_t blocks, float mean, float std)
{
    for (float *end = x + blocks * 2 * HALF_BLOCK; x < end; x += 2 * HALF_BLOCK)
        for (int i = 0; i < HALF_BLOCK; i++) {
            const float radius = __builtin_sqrtf(-2.0f * cephes_logarithm(1.0f - x[i]));
            float sine, cosine;
            cephes_sine_and_cosine(6.28318531f * x[HALF_BLOCK + i], &sine, &cosine);
            x[i] = __builtin_fmaf(radius * cosine, std, mean);
            x[HALF_BLOCK + i] = __builtin_fmaf(radius * sine, std, mean);
        }
}

#endif
