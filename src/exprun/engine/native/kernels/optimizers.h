/* Optimizers: one step for `n` numbers w with gradients g, with torch's formulas and state.

   Coefficients are computed in double once an iteration and rounded to float, as torch does. */
#ifndef EXPRUN_OPTIMIZERS_H
#define EXPRUN_OPTIMIZERS_H

#include "functions.h"
#include "network.h"

/* Flush a tiny average of gradients to 0. Otherwise it would decay to a subnormal number and stay there, and
   processors compute a hundred times slower with those. */
INLINE float settled(float x) { return x < 1e-30f && x > -1e-30f ? 0.0f : x; }

/* `settled` for an average of squares. */
INLINE float settled_square(float x) { return x < 1.17549435e-38f ? 0.0f : x; }

INLINE float lerp(float from, float to, float share) { return __builtin_fmaf(share, to - from, from); }

static Step prepare_step(int optimizer, int options, const Hyper *h, int64_t t, float product)
{
    const int decoupled = optimizer == ADAMW || options & DECOUPLED;
    const double correction1 = 1.0 - power(h->beta1, t), correction2 = 1.0 - power(h->beta2, t);
    Step s = {
        .lr = (float)h->lr, .eps = (float)h->eps, .beta1 = (float)h->beta1, .beta2 = (float)h->beta2,
        .decay = decoupled ? 0.0f : (float)h->weight_decay,
        .shrink = decoupled ? (float)(1.0 - h->lr * h->weight_decay) : 1.0f,
        .rest1 = (float)(1.0 - h->beta1), .rest2 = (float)(1.0 - h->beta2),
    };
    switch (optimizer) {
        case ADAGRAD: s.lr = (float)(h->lr / (1.0 + (double)(t - 1) * h->beta2)); break;
        case ADAM:
        case ADAMW:
            s.step_size = (float)(h->lr / correction1);
            s.root = (float)(1.0 / __builtin_sqrt(correction2));
            break;
        case ADAMAX: s.step_size = (float)(h->lr / correction1); break;
        case NADAM: {
            const double powered = power(h->decay, t);
            const double mu = h->beta1 * (1.0 - 0.5 * powered), next = h->beta1 * (1.0 - 0.5 * powered * h->decay);
            s.product = (float)((double)product * (double)(float)mu);
            s.step_size = (float)(h->lr * (1.0 - mu) / (1.0 - s.product));
            s.other = (float)(h->lr * next / (1.0 - s.product * next));
            s.root = (float)(1.0 / __builtin_sqrt(correction2));
            break;
        }
        case RADAM: {
            const double last = 2.0 / (1.0 - h->beta2) - 1.0;
            const double rho = last - 2.0 * (double)t * power(h->beta2, t) / correction2;
            s.step_size = (float)(h->lr / correction1);
            s.other = rho > 5.0 ? (float)__builtin_sqrt((rho - 4.0) * (rho - 2.0) * last * correction2 /
                                                        ((last - 4.0) * (last - 2.0) * rho))
                                : 0.0f;
            break;
        }
    }
    return s;
}

/* u = beta1 u + (1 - dampening) g, u = g in the first step; beta2 is the dampening. */
static void sgd(long n, float *restrict w, const float *restrict g, float *restrict u, int fresh, int nesterov, Step s)
{
    if (!u)
        for (long i = 0; i < n; i++) w[i] = __builtin_fmaf(-s.lr, __builtin_fmaf(s.decay, w[i], g[i]), w[i]);
    else {
        const float old = fresh ? 0.0f : s.beta1, new = fresh ? 1.0f : s.rest2, ahead = nesterov ? s.beta1 : 0.0f;
        const float own = nesterov ? 1.0f : 0.0f, of_u = nesterov ? ahead : 1.0f;
        for (long i = 0; i < n; i++) {
            const float d = __builtin_fmaf(s.decay, w[i], g[i]);
            u[i] = settled(__builtin_fmaf(old, u[i], new * d));
            w[i] = __builtin_fmaf(-s.lr, __builtin_fmaf(of_u, u[i], own * d), w[i]);
        }
    }
}

/* The lecture's momentum: u = beta1 u + (1 - beta1) g. */
static void momentum(long n, float *restrict w, const float *restrict g, float *restrict u, Step s)
{
    for (long i = 0; i < n; i++) {
        u[i] = settled(lerp(u[i], __builtin_fmaf(s.decay, w[i], g[i]), s.rest1));
        w[i] = __builtin_fmaf(-s.lr, u[i], w[i]);
    }
}

static void adagrad(long n, float *restrict w, const float *restrict g, float *restrict sum, Step s)
{
    for (long i = 0; i < n; i++) {
        const float d = __builtin_fmaf(s.decay, w[i], g[i]);
        sum[i] = __builtin_fmaf(d, d, sum[i]);
        w[i] -= s.lr * d / (__builtin_sqrtf(sum[i]) + s.eps);
    }
}

/* beta1 is rho. */
static void adadelta(long n, float *restrict w, const float *restrict g, float *restrict square_avg,
                     float *restrict acc_delta, Step s)
{
    for (long i = 0; i < n; i++) {
        const float d = __builtin_fmaf(s.decay, w[i], g[i]);
        square_avg[i] = settled_square(__builtin_fmaf(s.rest1 * d, d, s.beta1 * square_avg[i]));
        const float delta = __builtin_sqrtf(acc_delta[i] + s.eps) / __builtin_sqrtf(square_avg[i] + s.eps) * d;
        acc_delta[i] = __builtin_fmaf(s.rest1 * delta, delta, s.beta1 * acc_delta[i]);
        w[i] = __builtin_fmaf(-s.lr, delta, w[i]);
    }
}

/* State that not every training has is a constant where `rmsprop` and `adam` are called, so that each case is a loop
   of its own. Else the compiler loads it with an empty mask, which takes the processor hundreds of cycles if the
   address is NULL. */

/* beta1 is alpha, beta2 the momentum; grad_avg is NULL unless centered, buffer is NULL without momentum. */
INLINE void rmsprop(long n, float *restrict w, const float *restrict g, float *restrict square_avg,
                    float *restrict buffer, float *restrict grad_avg, Step s)
{
    for (long i = 0; i < n; i++) {
        const float d = __builtin_fmaf(s.decay, w[i], g[i]);
        square_avg[i] = settled_square(__builtin_fmaf(s.rest1 * d, d, s.beta1 * square_avg[i]));
        float square = square_avg[i];
        if (grad_avg) {
            grad_avg[i] = lerp(grad_avg[i], d, s.rest1);
            square = __builtin_fmaf(-grad_avg[i], grad_avg[i], square);
        }
        const float move = d / (__builtin_sqrtf(square) + s.eps);
        if (buffer) buffer[i] = settled(__builtin_fmaf(s.beta2, buffer[i], move));
        w[i] = __builtin_fmaf(-s.lr, buffer ? buffer[i] : move, w[i]);
    }
}

/* Adam and AdamW; most: AMSGrad's maximum of v so far, or NULL. */
INLINE void adam(long n, float *restrict w, const float *restrict g, float *restrict m, float *restrict v,
                 float *restrict most, Step s)
{
    for (long i = 0; i < n; i++) {
        const float shrunk = w[i] * s.shrink, d = __builtin_fmaf(s.decay, w[i], g[i]);
        m[i] = settled(lerp(m[i], d, s.rest1));
        v[i] = settled_square(__builtin_fmaf(s.rest2 * d, d, s.beta2 * v[i]));
        float square = v[i];
        if (most) square = most[i] = larger(most[i], square);
        w[i] = shrunk - s.step_size * m[i] / __builtin_fmaf(__builtin_sqrtf(square), s.root, s.eps);
    }
}

static void adamax(long n, float *restrict w, const float *restrict g, float *restrict m, float *restrict u, Step s)
{
    for (long i = 0; i < n; i++) {
        const float d = __builtin_fmaf(s.decay, w[i], g[i]);
        m[i] = settled(lerp(m[i], d, s.rest1));
        u[i] = larger(s.beta2 * u[i], __builtin_fabsf(d) + s.eps);
        w[i] -= s.step_size * m[i] / u[i];
    }
}

static void nadam(long n, float *restrict w, const float *restrict g, float *restrict m, float *restrict v, Step s)
{
    for (long i = 0; i < n; i++) {
        const float shrunk = w[i] * s.shrink, d = __builtin_fmaf(s.decay, w[i], g[i]);
        m[i] = settled(lerp(m[i], d, s.rest1));
        v[i] = settled_square(__builtin_fmaf(s.rest2 * d, d, s.beta2 * v[i]));
        w[i] = shrunk - __builtin_fmaf(s.step_size, d, s.other * m[i]) /
                           __builtin_fmaf(__builtin_sqrtf(v[i]), s.root, s.eps);
    }
}

/* other = 0: no adaptive step, because its variance is not yet tractable (rho <= 5). */
static void radam(long n, float *restrict w, const float *restrict g, float *restrict m, float *restrict v, Step s)
{
    for (long i = 0; i < n; i++) {
        const float shrunk = w[i] * s.shrink, d = __builtin_fmaf(s.decay, w[i], g[i]);
        m[i] = settled(lerp(m[i], d, s.rest1));
        v[i] = settled_square(__builtin_fmaf(s.rest2 * d, d, s.beta2 * v[i]));
        const float adapted = s.other / (__builtin_sqrtf(v[i]) + s.eps);
        w[i] = shrunk - s.step_size * m[i] * (s.other ? adapted : 1.0f);
    }
}

/* One step for the numbers `first` … `first + n` of a parameter; g[0] is the gradient of number `first`.
   Applies penalties, optimizer, max_norm and weight average. With max_norm they must be whole rows. */
static void update(const Network *network, const Parameter *p, const Step *steps, long first, long n, float *restrict g)
{
    const Step s = steps[p->group];
    float *restrict w = p->w + first;
    float *state[3];
    for (int i = 0; i < 3; i++) state[i] = p->state[i] ? p->state[i] + first : 0;
    if (p->l1 || p->l2) {
        const float l1 = (float)p->l1, l2 = (float)p->l2;
        for (long i = 0; i < n; i++) {
            const float sign = w[i] > 0.0f ? l1 : w[i] < 0.0f ? -l1 : 0.0f;
            g[i] = __builtin_fmaf(l2, w[i], g[i] + sign);
        }
    }
    switch (network->optimizer) {
        case SGD: sgd(n, w, g, state[0], p->fresh, network->options & NESTEROV, s); break;
        case MOMENTUM: momentum(n, w, g, state[0], s); break;
        case ADAGRAD: adagrad(n, w, g, state[0], s); break;
        case ADADELTA: adadelta(n, w, g, state[0], state[1], s); break;
        case RMSPROP:
            if (state[1] && state[2]) rmsprop(n, w, g, state[0], state[1], state[2], s);
            else if (state[1]) rmsprop(n, w, g, state[0], state[1], 0, s);
            else if (state[2]) rmsprop(n, w, g, state[0], 0, state[2], s);
            else rmsprop(n, w, g, state[0], 0, 0, s);
            break;
        case ADAM:
        case ADAMW:
            if (state[2]) adam(n, w, g, state[0], state[1], state[2], s);
            else adam(n, w, g, state[0], state[1], 0, s);
            break;
        case ADAMAX: adamax(n, w, g, state[0], state[1], s); break;
        case NADAM: nadam(n, w, g, state[0], state[1], s); break;
        case RADAM: radam(n, w, g, state[0], state[1], s); break;
    }
    if (p->max_norm) {
        const long width = p->count / p->rows;
        for (long row = 0; row < n; row += width) {
            float *unit = w + row;
            const float size = __builtin_sqrtf(dot(unit, unit, width)), bound = (float)p->max_norm;
            if (size > bound)
                for (long i = 0; i < width; i++) unit[i] *= bound / size;
        }
    }
    if (p->average) {
        float *restrict average = p->average + first;
        const float share = (float)(1.0 - network->average_decay);
        for (long i = 0; i < n; i++) average[i] = lerp(average[i], w[i], share);
    }
}

#endif
