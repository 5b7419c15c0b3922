/* Scalar functions built from IEEE operations only: the same bits on every machine, unlike libm's.

   Errors, in units in the last place against mpmath, are checked by tests/engine/native/test_functions.py. */
#ifndef EXPRUN_FUNCTIONS_H
#define EXPRUN_FUNCTIONS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "native.h"
#include "vector.h"

INLINE float float_of(int32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
INLINE int32_t bits_of(float x) { int32_t bits; memcpy(&bits, &x, 4); return bits; }

/* 2^k for -126 ≤ k ≤ 127. */
INLINE float power_of_two(int32_t k) { return float_of((k + 127) << 23); }

INLINE float smaller(float a, float b) { return a < b ? a : b; }
INLINE float larger(float a, float b) { return a > b ? a : b; }

/* x = k ln 2 + r with |r| ≤ ln 2 / 2; returns k, rounded by adding a number whose unit in the last place
   is 1. ln 2 is split into two parts, the first of few bits so that its product with k is exact. */
INLINE int32_t reduced(float x, float *r)
{
    const float shift = 12582912.0f;
    const float k = __builtin_fmaf(x, 1.44269504f, shift) - shift;
    *r = __builtin_fmaf(k, -1.42860677e-6f, __builtin_fmaf(k, -0.693145752f, x));
    return (int32_t)k;
}

/* (e^r - 1 - r) / r² by Taylor series, |r| ≤ ln 2 / 2. */
INLINE float series(float r)
{
    float p = 1.0f / 40320;
    p = __builtin_fmaf(p, r, 1.0f / 5040);
    p = __builtin_fmaf(p, r, 1.0f / 720);
    p = __builtin_fmaf(p, r, 1.0f / 120);
    p = __builtin_fmaf(p, r, 1.0f / 24);
    p = __builtin_fmaf(p, r, 1.0f / 6);
    return __builtin_fmaf(p, r, 0.5f);
}

/* e^x; 0 below -104, infinite above 88.73. */
INLINE float exponential(float x)
{
    float r;
    const int32_t k = reduced(smaller(larger(x, -110.0f), 95.0f), &r);
    const float p = __builtin_fmaf(series(r) * r, r, r) + 1.0f;
    const int32_t half = k >> 1; /* 2^k may overflow or underflow as a single factor */
    const float y = p * power_of_two(half) * power_of_two(k - half);
    return x != x ? x : y;
}

/* e^x - 1 with small relative error near 0 too; x ≤ 88. */
INLINE float exponential_minus_1(float x)
{
    float r;
    const int32_t k = reduced(smaller(larger(x, -30.0f), 88.0f), &r);
    const float p = __builtin_fmaf(series(r) * r, r, r), scale = power_of_two(k);
    const float y = __builtin_fmaf(scale, p, scale - 1.0f);
    return x != x ? x : y;
}

/* Natural logarithm of a normal number x > 0: x = 2^k (1 + f), √½ ≤ 1 + f < √2, and
   log(1 + f) = f - f²/2 + f³ P(f), P fitted at Chebyshev nodes. 0 gives -infinity. */
INLINE float logarithm(float x)
{
    const int32_t bits = bits_of(x) - 0x3f3504f3; /* √½ */
    const int32_t k = bits >> 23;
    const float f = float_of((bits & 0x7fffff) + 0x3f3504f3) - 1.0f, s = f * f;
    float p = 0.0714975372f;
    p = __builtin_fmaf(p, f, -0.115712009f);
    p = __builtin_fmaf(p, f, 0.116615109f);
    p = __builtin_fmaf(p, f, -0.124110505f);
    p = __builtin_fmaf(p, f, 0.142499372f);
    p = __builtin_fmaf(p, f, -0.166684806f);
    p = __builtin_fmaf(p, f, 0.200007081f);
    p = __builtin_fmaf(p, f, -0.249999896f);
    p = __builtin_fmaf(p, f, 0.333333313f);
    float y = __builtin_fmaf(p * f, s, (float)k * 1.42860677e-6f);
    y = __builtin_fmaf(-0.5f, s, y) + f;
    y = __builtin_fmaf((float)k, 0.693145752f, y);
    y = x == 0.0f ? -INFINITY : y;
    return x >= INFINITY || x != x ? x : y;
}

/* log(1 + e^x), softplus. */
INLINE float soft_plus(float x)
{
    const float e = exponential(-__builtin_fabsf(x)), u = 1.0f + e;
    return larger(x, 0.0f) + (logarithm(u) + (e - (u - 1.0f)) / u); /* corrects the rounding of 1 + e */
}

INLINE float sigmoid(float x)
{
    const float e = exponential(-__builtin_fabsf(x)), share = 1.0f / (1.0f + e);
    return x < 0.0f ? e * share : share;
}

INLINE float hyperbolic_tangent(float x)
{
    const float e = exponential_minus_1(2.0f * smaller(__builtin_fabsf(x), 10.0f));
    const float y = e / (e + 2.0f);
    return x != x ? x : __builtin_copysignf(y, x);
}

/* Error function: x P(x²) up to 1; 1 - e^Q(|x|) beyond. Both fitted at Chebyshev nodes. */
INLINE float error_function(float x)
{
    const float a = __builtin_fabsf(x), s = smaller(x * x, 1.0f), t = smaller(a, 4.0f);
    float p = -9.67359119e-06f;
    p = __builtin_fmaf(p, s, 0.000112682537f);
    p = __builtin_fmaf(p, s, -0.000848439639f);
    p = __builtin_fmaf(p, s, 0.00522105349f);
    p = __builtin_fmaf(p, s, -0.0268654376f);
    p = __builtin_fmaf(p, s, 0.112837829f);
    p = __builtin_fmaf(p, s, -0.376126379f);
    p = __builtin_fmaf(p, s, 1.12837923f);
    float q = -1.6140616e-06f;
    q = __builtin_fmaf(q, t, 4.55906229e-05f);
    q = __builtin_fmaf(q, t, -0.000592769531f);
    q = __builtin_fmaf(q, t, 0.00474022236f);
    q = __builtin_fmaf(q, t, -0.0263647176f);
    q = __builtin_fmaf(q, t, 0.109978244f);
    q = __builtin_fmaf(q, t, 0.631937087f);
    q = __builtin_fmaf(q, t, 1.13016665f);
    q = __builtin_fmaf(q, t, -0.000303212961f);
    const float far = __builtin_copysignf(1.0f - exponential(-q), x);
    return x != x ? x : a <= 1.0f ? x * p : far;
}

/* base^n in double, by repeated squaring. */
static double power(double base, int64_t n)
{
    double y = 1.0;
    for (; n > 0; n >>= 1, base *= base)
        if (n & 1) y *= base;
    return y;
}

/* Sums of n numbers: LANES partial sums, number r in sum r % LANES, then added pairwise in a tree. The order
   does not depend on the register width. */
typedef float lanes __attribute__((vector_size(LANES * 4), aligned(4)));

INLINE lanes load(const float *x) { return *(const lanes *)x; }

/* Load the last n < LANES numbers, padded with zeros. */
INLINE lanes load_some(const float *x, long n)
{
    float some[LANES] = {0};
    for (long i = 0; i < n; i++) some[i] = x[i];
    return load(some);
}

INLINE float add_up(lanes sums)
{
    typedef float eight __attribute__((vector_size(32)));
    typedef float four __attribute__((vector_size(16)));
    const eight a = __builtin_shufflevector(sums, sums, 0, 1, 2, 3, 4, 5, 6, 7) +
                    __builtin_shufflevector(sums, sums, 8, 9, 10, 11, 12, 13, 14, 15);
    const four b = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
    return (b[0] + b[2]) + (b[1] + b[3]);
}

/* Σ x */
INLINE float sum(const float *x, long n)
{
    lanes sums = {0};
    long r = 0;
    for (; r + LANES <= n; r += LANES) sums += load(x + r);
    if (r < n) sums += load_some(x + r, n - r);
    return add_up(sums);
}

/* Σ x y */
INLINE float dot(const float *x, const float *y, long n)
{
    lanes sums = {0};
    long r = 0;
    for (; r + LANES <= n; r += LANES) sums += load(x + r) * load(y + r);
    if (r < n) sums += load_some(x + r, n - r) * load_some(y + r, n - r);
    return add_up(sums);
}

/* Σ (x - mean)² */
INLINE float squares(const float *x, float mean, long n)
{
    lanes sums = {0};
    long r = 0;
    for (; r + LANES <= n; r += LANES) sums += (load(x + r) - mean) * (load(x + r) - mean);
    for (; r < n; r++) sums[r % LANES] += (x[r] - mean) * (x[r] - mean);
    return add_up(sums);
}

#endif
