/* Forward pass, backward pass and update of a network, compiled once per instruction set (TARGET).

   Threads run the same code on disjoint parts: units of a layer, or rows of the batch. Barriers separate
   phases in which one thread reads what another has written; no sum is split among threads. */
#include "network.h"

#include <stdlib.h>

#include "activations.h"
#include "dropout.h"
#include "losses.h"
#include "normal.h"
#include "norms.h"
#include "optimizers.h"
#include "products.h"

/* One of the threads that train a network. */
typedef struct {
    Workspace *w;
    int index, threads;
} Worker;

static void wait_for_all(Worker me)
{
    if (me.threads > 1) barrier_wait(&me.w->barrier, me.threads);
}

/* The first of `count` items, split among threads in multiples of `grain`, that belongs to a thread. */
static long first_of(long count, long grain, int index, int threads)
{
    if (index == 0 || index == threads) return index ? count : 0;
    return smaller_long(count, (count + grain - 1) / grain * index / threads * grain);
}

INLINE void share_of(Worker me, long count, long grain, long *first, long *last)
{
    *first = first_of(count, grain, me.index, me.threads);
    *last = first_of(count, grain, me.index + 1, me.threads);
}

/* Write the inputs of a row, (in,). */
INLINE void write_inputs(const Rows *data, int64_t row, long in, float *to)
{
    if (!data->codes) {
        memcpy(to, data->x + row * in, in * sizeof(float));
        return;
    }
    const float *x = data->x + row * data->numbers;
    const int32_t *codes = data->codes + row * data->columns;
    memset(to, 0, in * sizeof(float));
    for (long k = 0; k < data->numbers; k++) to[data->places[k]] = x[k];
    for (long k = 0; k < data->columns; k++)
        if (codes[k] >= 0) to[codes[k]] = 1.0f;
}

/* Gather the rows of a batch into w->inputs, both by unit (in, ld) and by row. */
static void gather(Worker me, const Rows *data, const int64_t *rows, int64_t first, long n, long ld)
{
    Workspace *w = me.w;
    const long in = w->network->layers[0].in, wide = padded(in);
    long r0, r1;
    share_of(me, padded(n), LANES, &r0, &r1);
    for (long r = r0; r < r1; r++) {
        float *to = w->inputs.by_row + r * wide;
        if (r < n) write_inputs(data, rows ? rows[r] : first + r, in, to);
        else memset(to, 0, in * sizeof(float));
    }
    transpose(r1 - r0, 0, in, w->inputs.by_row + r0 * wide, wide, w->inputs.by_unit + r0, ld);
}

/* The part of a layer's activations to which a thread applies elementwise operations: some rows of all units
   with layer normalisation, which needs all units of a row; else all rows of some units. */
typedef struct { long u0, u1, r0, r1; } Part;

static Part part_of(Worker me, const Layer *layer, long n)
{
    Part p = {0, layer->out, 0, padded(n)};
    if (layer->norm == LAYER_NORM) share_of(me, padded(n), LANES, &p.r0, &p.r1);
    else share_of(me, layer->out, TILE_ROWS, &p.u0, &p.u1);
    return p;
}

static void normalize(Workspace *w, const Layer *layer, Memory *m, Part p, long n, long ld, int training)
{
    const float eps = (float)layer->eps, *scale = layer->scale.w, *shift = layer->shift.w;
    if (layer->norm == LAYER_NORM)
        layer_norm_forward(m->h.by_unit, training ? m->normed : m->h.by_unit, m->inverse, w->work[0], ld, layer->out, p.r0,
                           p.r1, scale, shift, eps);
    else if (layer->norm == BATCH_NORM && training)
        batch_norm_forward(m->h.by_unit, m->normed, m->inverse, ld, p.u0, p.u1, n, padded(n), scale, shift, eps,
                           m->momentum, layer->running_mean, layer->running_var);
    else if (layer->norm == BATCH_NORM)
        batch_norm_evaluate(m->h.by_unit, ld, p.u0, p.u1, padded(n), scale, shift, eps, layer->running_mean,
                            layer->running_var);
}

/* Forward pass: h = f(W x + b) of each layer for n gathered rows; number < 0 means evaluation: no dropout,
   running statistics. */
static void forward(Worker me, long n, long ld, int64_t number)
{
    Workspace *w = me.w;
    const Network *net = w->network;
    const int training = number >= 0;
    const float *x = w->inputs.by_unit;
    for (long l = 0; l < net->depth; l++) {
        const Layer *layer = &net->layers[l];
        Memory *m = &w->memory[l];
        long u0, u1;
        share_of(me, layer->out, TILE_ROWS, &u0, &u1);
        if (u0 < u1) product(u1 - u0, padded(n), layer->in, layer->weight.w + u0 * layer->in, layer->in, 1, x, ld,
                m->h.by_unit + u0 * ld, ld, layer->bias.w ? layer->bias.w + u0 : 0);
        if (layer->norm == LAYER_NORM) wait_for_all(me);
        if (l < net->depth - 1) {
            const Part p = part_of(me, layer, n);
            if (!layer->norm_after) normalize(w, layer, m, p, n, ld, training);
            activate(layer->activation, m->h.by_unit, training ? m->slope : 0, ld, p.u0, p.u1, p.r0, p.r1);
            if (layer->norm_after) normalize(w, layer, m, p, n, ld, training);
            if (training && layer->p > 0) {
                draw_mask(m->mask, ld, p.u0, p.u1, p.r0, p.r1, layer->p, net->seed, l, number);
                multiply(m->h.by_unit, m->mask, ld, p.u0, p.u1, p.r0, p.r1);
            }
            if (training)
                transpose(p.u1 - p.u0, p.r0, smaller_long(p.r1, n), m->h.by_unit + p.u0 * ld, ld,
                          m->h.by_row + p.u0, padded(layer->out));
        }
        wait_for_all(me);
        x = m->h.by_unit;
    }
}

/* Backpropagate from a hidden layer's outputs to its W x + b, both (units, ld), through dropout, norm and
   activation. With a norm, the gradient of its outputs stays in dh. */
static void backward_of_layer(Worker me, const Layer *layer, Memory *m, long n, long ld)
{
    Workspace *w = me.w;
    const Part p = part_of(me, layer, n);
    if (layer->p > 0) multiply(m->dh, m->mask, ld, p.u0, p.u1, p.r0, p.r1);
    if (!layer->norm_after) multiply(m->dh, m->slope, ld, p.u0, p.u1, p.r0, p.r1);
    if (layer->norm == BATCH_NORM)
        batch_norm_backward(m->dz, m->dh, m->normed, m->inverse, ld, p.u0, p.u1, n, padded(n), layer->scale.w,
                            m->scale_gradient, m->shift_gradient);
    if (layer->norm == LAYER_NORM)
        layer_norm_backward(m->dz, m->dh, m->normed, m->inverse, ld, layer->out, p.r0, p.r1, layer->scale.w, w->work[0],
                            w->work[1]);
    if (layer->norm_after) multiply(m->dz, m->slope, ld, p.u0, p.u1, p.r0, p.r1);
}

/* Compute the gradients of a layer's parameters and update them, a few units at a time to stay in the cache. */
static void update_layer(Worker me, const Layer *layer, Memory *m, const float *x_by_row, const Step *steps, long n,
                         long ld)
{
    Workspace *w = me.w;
    const long in = layer->in;
    float *gradient = w->gradients[me.index];
    long u0, u1;
    share_of(me, layer->out, TILE_ROWS, &u0, &u1);
    if (u0 == u1) return;
    for (long first = u0; first < u1; first += w->units_at_once) {
        const long last = smaller_long(u1, first + w->units_at_once);
        product(last - first, in, n, m->dz + first * ld, ld, 1, x_by_row, padded(in), gradient, in, 0);
        update(w->network, &layer->weight, steps, first * in, (last - first) * in, gradient);
    }
    if (layer->bias.w) {
        for (long u = u0; u < u1; u++) gradient[u - u0] = sum(m->dz + u * ld, n);
        update(w->network, &layer->bias, steps, u0, u1 - u0, gradient);
    }
    if (layer->norm == LAYER_NORM && (layer->scale.w || layer->shift.w))
        layer_norm_gradients(m->dh, m->normed, ld, u0, u1, n, m->scale_gradient, m->shift_gradient);
    if (layer->scale.w) update(w->network, &layer->scale, steps, u0, u1 - u0, m->scale_gradient + u0);
    if (layer->shift.w) update(w->network, &layer->shift, steps, u0, u1 - u0, m->shift_gradient + u0);
}

/* One iteration on n rows; returns 0 if its loss is not finite, and then only running statistics have changed. */
static int iterate(Worker me, const Rows *data, const int64_t *rows, long n, int64_t number, const Step *steps)
{
    Workspace *w = me.w;
    const Network *net = w->network;
    const long ld = leading(n), top = net->depth - 1;
    Memory *output = &w->memory[top];
    gather(me, data, rows, 0, n, ld);
    wait_for_all(me);
    forward(me, n, ld, number);
    const Answers answers = {
        .data = data, .rows = rows, .n = n, .out = net->layers[top].out, .ld = ld,
        .scale = net->sum ? 1.0f : 1.0f / (float)n, .smoothing = (float)net->label_smoothing,
        .shares = (float)net->smoothing_classes, .delta = (float)net->delta,
    };
    long r0, r1;
    share_of(me, padded(n), LANES, &r0, &r1);
    compute_loss(net->loss, &answers, output->h.by_unit, output->dh, w->losses, r0, r1);
    wait_for_all(me);
    const float total = sum(w->losses, n);
    if (!(total - total == 0.0f)) return 0; /* infinite or NaN */
    for (long l = top; l >= 0; l--) {
        const Layer *layer = &net->layers[l];
        Memory *m = &w->memory[l];
        if (l < top) {
            backward_of_layer(me, layer, m, n, ld);
            wait_for_all(me);
        }
        if (l > 0) {
            long i0, i1;
            share_of(me, layer->in, TILE_ROWS, &i0, &i1);
            if (i0 < i1) product(i1 - i0, padded(n), layer->out, layer->weight.w + i0, 1, layer->in, m->dz, ld,
                    w->memory[l - 1].dh + i0 * ld, ld, 0);
            wait_for_all(me);
        }
        update_layer(me, layer, m, l ? w->memory[l - 1].h.by_row : w->inputs.by_row, steps, n, ld);
    }
    wait_for_all(me);
    return 1;
}

static void count_batch(const Network *net, Memory *memory)
{
    for (long l = 0; l < net->depth; l++) {
        const Layer *layer = &net->layers[l];
        if (layer->norm != BATCH_NORM) continue;
        if (layer->batches) *layer->batches += 1;
        memory[l].momentum = layer->momentum < 0 ? (float)(1.0 / (double)*layer->batches) : (float)layer->momentum;
    }
}

/* A thread's part of native_train; thread 0 prepares the data that all of them read. */
static void train(Workspace *w, int index, int threads)
{
    const Worker me = {w, index, threads};
    const Network *net = w->network;
    const Training *t = &w->training;
    for (int64_t i = 0; i < t->count; i++) {
        const int64_t first = i * net->batch;
        const long n = smaller_long(net->batch, t->total - first);
        if (!index) {
            for (int g = 0; g < net->groups; g++) {
                const Hyper *hyper = t->hyper + (t->steady ? 0 : i * net->groups) + g;
                w->steps[g] = prepare_step(net->optimizer, net->options, hyper, w->counts[g] + 1, w->products[g]);
            }
            count_batch(net, w->memory);
        }
        wait_for_all(me);
        if (!iterate(me, t->data, t->order + first, n, t->iteration + i, w->steps)) return;
        if (!index) finish_iteration(w);
        wait_for_all(me);
    }
}

static void evaluate(Workspace *w, const Rows *data, double *figures, float *outputs)
{
    const Worker me = {w, 0, 1};
    const Network *net = w->network;
    const Layer *last = &net->layers[net->depth - 1];
    const long out = last->out;
    const float *z = w->memory[net->depth - 1].h.by_unit;
    if (figures) memset(figures, 0, (2 + 2 * out) * sizeof(double));
    for (int64_t first = 0; first < data->rows; first += EVALUATED_ROWS) {
        const long n = smaller_long(EVALUATED_ROWS, data->rows - first), ld = leading(n);
        gather(me, data, 0, first, n, ld);
        forward(me, n, ld, -1);
        if (outputs) transpose(out, 0, n, z, ld, outputs + first * out, out);
        if (!figures) continue;
        const Answers answers = {
            .data = data, .first = first, .n = n, .out = out, .ld = ld, .scale = 1.0f, .delta = (float)net->delta,
        };
        compute_loss(net->loss, &answers, z, 0, w->losses, 0, padded(n));
        for (long r = 0; r < n; r++) figures[0] += (double)w->losses[r];
        if (data->ids)
            for (long r = 0; r < n; r++) {
                long best = 0;
                for (long c = 1; c < out; c++)
                    if (z[c * ld + r] > z[best * ld + r]) best = c;
                if (out == 1) best = z[r] > 0.0f;
                figures[1] += (double)(best == data->ids[first + r]);
            }
        else
            for (long c = 0; c < out; c++)
                for (long r = 0; r < n; r++) {
                    const float value = net->loss == POISSON ? exponential(z[c * ld + r]) : z[c * ld + r];
                    const double error = (double)value - (double)data->targets[(first + r) * out + c];
                    figures[2 + 2 * c] += error * error;
                    figures[3 + 2 * c] += error < 0 ? -error : error;
                }
    }
}

static void apply(int which, const float *x, float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float unused;
        switch (which) {
            case 0: y[i] = exponential(x[i]); break;
            case 1: y[i] = exponential_minus_1(x[i]); break;
            case 2: y[i] = logarithm(x[i]); break;
            case 3: y[i] = soft_plus(x[i]); break;
            case 4: y[i] = sigmoid(x[i]); break;
            case 5: y[i] = hyperbolic_tangent(x[i]); break;
            case 6: y[i] = error_function(x[i]); break;
            case 7: y[i] = gelu(x[i], &unused); break;
            case 8: y[i] = mish(x[i], &unused); break;
        }
    }
}

static void masks(float *mask, int64_t rows, int64_t units, double p, uint64_t seed, int64_t layer, int64_t iteration)
{
    draw_mask(mask, padded(rows), 0, units, 0, padded(rows), p, seed, layer, iteration);
}

static void words(const uint32_t counter[4], const uint32_t key[2], uint32_t found[4])
{
    memcpy(found, counter, 16);
    philox(found, key[0], key[1]);
}

#define NAMED(target) { #target, TILE_ROWS, train, evaluate, apply, masks, normal, words }
#define EXPANDED(target) NAMED(target)
#define JOINED(target) const Kernels kernels_##target = EXPANDED(target)
#define DEFINED(target) JOINED(target)
DEFINED(TARGET);
