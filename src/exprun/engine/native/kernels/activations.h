/* Activations with torch's definitions and default settings: value and derivative (slope) at x. */
#ifndef EXPRUN_ACTIVATIONS_H
#define EXPRUN_ACTIVATIONS_H

#include "functions.h"
#include "native.h"

INLINE float identity(float x, float *slope) { *slope = 1.0f; return x; }

INLINE float relu(float x, float *slope)
{
    *slope = x > 0.0f ? 1.0f : 0.0f;
    return x < 0.0f ? 0.0f : x; /* this order propagates NaN */
}

INLINE float relu6(float x, float *slope)
{
    *slope = x > 0.0f && x < 6.0f ? 1.0f : 0.0f;
    return x < 0.0f ? 0.0f : x > 6.0f ? 6.0f : x;
}

INLINE float leaky_relu(float x, float *slope)
{
    *slope = x > 0.0f ? 1.0f : 0.01f;
    return x * *slope;
}

INLINE float hardswish(float x, float *slope)
{
    *slope = x <= -3.0f ? 0.0f : x < 3.0f ? x / 3.0f + 0.5f : 1.0f;
    return x * smaller(larger(x + 3.0f, 0.0f), 6.0f) / 6.0f;
}

INLINE float softsign(float x, float *slope)
{
    const float share = 1.0f / (1.0f + __builtin_fabsf(x));
    *slope = share * share;
    return x / (1.0f + __builtin_fabsf(x));
}

INLINE float logistic(float x, float *slope)
{
    const float y = sigmoid(x);
    *slope = y * (1.0f - y);
    return y;
}

INLINE float tangent(float x, float *slope)
{
    const float y = hyperbolic_tangent(x);
    *slope = 1.0f - y * y;
    return y;
}

INLINE float tanhshrink(float x, float *slope)
{
    const float y = hyperbolic_tangent(x);
    *slope = y * y;
    return x - y;
}

INLINE float silu(float x, float *slope)
{
    const float s = sigmoid(x);
    *slope = s * (1.0f + x * (1.0f - s));
    return x * s;
}

INLINE float gelu(float x, float *slope)
{
    const float below = 0.5f * (1.0f + error_function(x * 0.707106781f)); /* P(normal < x) */
    const float density = exponential(-0.5f * x * x) * 0.398942280f;
    *slope = below + x * density;
    return x * below;
}

INLINE float elu(float x, float *slope)
{
    const float below = exponential_minus_1(smaller(x, 0.0f));
    *slope = x > 0.0f ? 1.0f : below + 1.0f;
    return x > 0.0f ? x : x != x ? x : below;
}

INLINE float selu(float x, float *slope)
{
    const float scale = 1.05070099f, alpha = 1.67326324f;
    const float below = scale * alpha * exponential_minus_1(smaller(x, 0.0f));
    *slope = x > 0.0f ? scale : below + scale * alpha;
    return x > 0.0f ? scale * x : x != x ? x : below;
}

INLINE float softplus(float x, float *slope)
{
    *slope = sigmoid(x);
    return x != x ? x : soft_plus(x);
}

INLINE float mish(float x, float *slope)
{
    const float e = exponential(smaller(x, 20.0f)), n = e * (e + 2.0f);
    const float t = n / (n + 2.0f); /* tanh(log(1 + e^x)) */
    *slope = t + x * sigmoid(x) * (1.0f - t * t);
    return x * t;
}

/* h (units, ld) = activation(h) for units u0 … u1 and columns r0 … r1; slope (units, ld), or NULL. */
static void activate(int activation, float *restrict h, float *restrict slope, long ld, long u0, long u1, long r0,
                     long r1)
{
#define EACH(function)                                                     \
    for (long u = u0; u < u1; u++) {                                       \
        float *restrict x = h + u * ld;                                    \
        if (slope) {                                                       \
            float *restrict s = slope + u * ld;                            \
            for (long r = r0; r < r1; r++) x[r] = function(x[r], s + r);   \
        } else                                                             \
            for (long r = r0; r < r1; r++) {                               \
                float unused;                                              \
                x[r] = function(x[r], &unused);                            \
            }                                                              \
    }                                                                      \
    break;
    switch (activation) {
        case IDENTITY: EACH(identity)
        case RELU: EACH(relu)
        case RELU6: EACH(relu6)
        case LEAKY_RELU: EACH(leaky_relu)
        case HARDSWISH: EACH(hardswish)
        case SOFTSIGN: EACH(softsign)
        case SIGMOID: EACH(logistic)
        case TANH: EACH(tangent)
        case TANHSHRINK: EACH(tanhshrink)
        case SILU: EACH(silu)
        case GELU: EACH(gelu)
        case ELU: EACH(elu)
        case CELU: EACH(elu) /* alpha = 1 */
        case SELU: EACH(selu)
        case SOFTPLUS: EACH(softplus)
        case MISH: EACH(mish)
    }
#undef EACH
}

#endif
