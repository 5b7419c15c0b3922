/* Implements native.h: memory, threads and selection of the instruction set. */
#include "native.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"

#if defined(_WIN32)
#include <malloc.h>
static void *aligned(size_t size) { return _aligned_malloc(size, 64); }
static void free_aligned(void *block) { _aligned_free(block); }
#else
static void *aligned(size_t size)
{
    void *block;
    return posix_memalign(&block, 64, size) ? 0 : block;
}
static void free_aligned(void *block) { free(block); }
#endif

#if defined(__x86_64__)
extern const Kernels kernels_avx512, kernels_avx2;
static const Kernels *const compiled[] = {&kernels_avx512, &kernels_avx2};

static int runs(int index)
{
    __builtin_cpu_init();
    if (!index)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
extern const Kernels kernels_neon;
static const Kernels *const compiled[] = {&kernels_neon};

static int runs(int index) { return index == 0; }
#endif

static const Kernels *kernels_of(int target)
{
    const int all = sizeof compiled / sizeof *compiled;
    for (int i = 0; i < all; i++)
        if (runs(i) && target-- == 0) return compiled[i];
    return 0;
}

const char *native_target(int index)
{
    const Kernels *kernels = kernels_of(index);
    return kernels ? kernels->name : 0;
}

/* ---- memory ---- */

/* The next part of a block of memory; with block == NULL only its size is added to `taken`. */
static float *part(char *block, size_t *taken, size_t numbers)
{
    float *start = block ? (float *)(block + *taken) : 0;
    *taken += (numbers * sizeof(float) + 63) / 64 * 64;
    return start;
}

enum { SLACK = 64 }; /* numbers that a product may read or write beyond the end */
enum { GRADIENT_NUMBERS = 8192 };

static size_t lay_out(Workspace *w, char *block)
{
    const Network *net = w->network;
    const long rows = net->batch > EVALUATED_ROWS ? net->batch : EVALUATED_ROWS;
    const size_t ld = padded(rows) + LANES;
    size_t taken = 0;
    long widest = 0, narrowest = 1;
    w->inputs.by_row = part(block, &taken, padded(rows) * padded(net->layers[0].in) + SLACK);
    w->inputs.by_unit = part(block, &taken, net->layers[0].in * ld + SLACK);
    for (long l = 0; l < net->depth; l++) {
        const Layer *layer = &net->layers[l];
        const size_t all = layer->out * ld + SLACK;
        const int hidden = l < net->depth - 1;
        Memory *m = &w->memory[l];
        m->h.by_unit = part(block, &taken, all);
        m->dh = part(block, &taken, all);
        m->dz = layer->norm ? part(block, &taken, all) : m->dh;
        if (hidden) {
            m->h.by_row = part(block, &taken, padded(rows) * padded(layer->out) + SLACK);
            m->slope = part(block, &taken, all);
        }
        if (layer->p > 0) m->mask = part(block, &taken, all);
        if (layer->norm) {
            m->normed = part(block, &taken, all);
            m->inverse = part(block, &taken, layer->out + ld); /* per unit (batch norm) or per row (layer norm) */
            m->scale_gradient = part(block, &taken, layer->out);
            m->shift_gradient = part(block, &taken, layer->out);
        }
        if (layer->in > widest) widest = layer->in;
        if (layer->out > narrowest) narrowest = layer->out;
    }
    w->losses = part(block, &taken, ld);
    w->work[0] = part(block, &taken, ld);
    w->work[1] = part(block, &taken, ld);
    /* Gradients are computed for whole tiles of units, about GRADIENT_NUMBERS weights at a time. */
    const long tile = w->kernels->tile_rows, tiles = GRADIENT_NUMBERS / (widest * tile);
    w->units_at_once = tile * (tiles > 1 ? tiles : 1);
    const size_t gradient = w->units_at_once * widest;
    for (int t = 0; t < net->threads; t++)
        w->gradients[t] = part(block, &taken, (gradient > (size_t)narrowest ? gradient : (size_t)narrowest) + SLACK);
    return taken;
}

Workspace *native_open(const Network *network, int target)
{
    const Kernels *kernels = kernels_of(target);
    if (!kernels || network->groups > MOST_GROUPS || network->threads > MOST_THREADS) return 0;
    Workspace *w = calloc(1, sizeof *w);
    if (!w) return 0;
    w->network = network;
    w->kernels = kernels;
    w->memory = calloc(network->depth, sizeof *w->memory);
    const size_t size = w->memory ? lay_out(w, 0) : 0;
    if (!size || !(w->block = aligned(size))) {
        free(w->memory);
        free(w);
        return 0;
    }
    memset(w->block, 0, size);
    lay_out(w, w->block);
    return w;
}

void native_close(Workspace *w)
{
    if (!w) return;
    free_aligned(w->block);
    free(w->memory);
    free(w);
}

/* ---- parameters ---- */

enum { KINDS = 4 };

static Parameter *parameter(const Network *net, long layer, int kind)
{
    Layer *l = &net->layers[layer];
    Parameter *const all[KINDS] = {&l->weight, &l->bias, &l->scale, &l->shift};
    return all[kind];
}

#define EACH_PARAMETER(net, p)                            \
    for (long l_ = 0; l_ < (net)->depth; l_++)            \
        for (int k_ = 0; k_ < KINDS; k_++)                \
            for (Parameter *p = parameter(net, l_, k_); p && p->w; p = 0)

static void read_counts(Workspace *w)
{
    int seen[MOST_GROUPS] = {0};
    EACH_PARAMETER(w->network, p) {
        if (seen[p->group]) continue;
        seen[p->group] = 1;
        w->counts[p->group] = !p->step ? 0 : p->wide_step ? (int64_t) * (double *)p->step : (int64_t) * (float *)p->step;
        w->products[p->group] = p->product ? *p->product : 1.0f;
    }
}

static void write_counts(Workspace *w)
{
    EACH_PARAMETER(w->network, p) {
        if (p->step && p->wide_step) *(double *)p->step = (double)w->counts[p->group];
        else if (p->step) *(float *)p->step = (float)w->counts[p->group];
        if (p->product) *p->product = w->products[p->group];
    }
}

void finish_iteration(Workspace *w)
{
    const Network *net = w->network;
    for (int g = 0; g < net->groups; g++) {
        w->counts[g]++;
        w->products[g] = w->steps[g].product;
    }
    EACH_PARAMETER(net, p) p->fresh = 0;
    w->done++;
}

int native_finite(const Network *net)
{
    EACH_PARAMETER(net, p) {
        float sum = 0.0f; /* sum of x - x, which is 0 for finite x and NaN otherwise */
        for (int64_t i = 0; i < p->count; i++) sum += p->w[i] - p->w[i];
        if (sum != 0.0f) return 0;
    }
    return 1;
}

/* An operation on a piece of memory that training changes: measure, save or restore. */
typedef void Piece(void *memory, size_t size, char **block);

static void each_piece(const Network *net, Piece *piece, char **block)
{
    EACH_PARAMETER(net, p) {
        const size_t size = p->count * sizeof(float);
        piece(p->w, size, block);
        for (int i = 0; i < 3; i++) piece(p->state[i], size, block);
        piece(p->average, size, block);
        piece(p->step, p->wide_step ? sizeof(double) : sizeof(float), block);
        piece(p->product, sizeof(float), block);
        piece(&p->fresh, sizeof p->fresh, block);
    }
    for (long l = 0; l < net->depth; l++) {
        const Layer *layer = &net->layers[l];
        piece(layer->running_mean, layer->out * sizeof(float), block);
        piece(layer->running_var, layer->out * sizeof(float), block);
        piece(layer->batches, sizeof *layer->batches, block);
    }
}

static void measure_piece(void *memory, size_t size, char **block) { if (memory) *block += size; }

static void save_piece(void *memory, size_t size, char **block)
{
    if (!memory) return;
    memcpy(*block, memory, size);
    *block += size;
}

static void restore_piece(void *memory, size_t size, char **block)
{
    if (!memory) return;
    memcpy(memory, *block, size);
    *block += size;
}

int64_t native_saved(const Network *net)
{
    char *end = 0;
    each_piece(net, measure_piece, &end);
    return (int64_t)(intptr_t)end;
}

void native_save(const Network *net, char *block) { each_piece(net, save_piece, &block); }

void native_restore(const Network *net, const char *block)
{
    char *from = (char *)block;
    each_piece(net, restore_piece, &from);
}

/* ---- threads ---- */

enum { SPINS = 2000 };

void barrier_wait(Barrier *b, int threads)
{
    const int round = atomic_load(&b->round);
    if (atomic_fetch_add(&b->waiting, 1) + 1 == threads) {
        atomic_store(&b->waiting, 0);
        atomic_fetch_add(&b->round, 1);
        return;
    }
    for (int i = 0; atomic_load(&b->round) == round; i++)
        if (i > SPINS) sched_yield(); /* another process may occupy the core */
}

typedef struct {
    Workspace *w;
    int index;
} Start;

static void *run(void *argument)
{
    const Start *start = argument;
    int threads;
    while (!(threads = atomic_load(&start->w->threads))) sched_yield();
    start->w->kernels->train(start->w, start->index, threads);
    return 0;
}

int64_t native_train(Workspace *w, const Rows *data, const int64_t *order, int64_t total, int64_t count,
                     int64_t iteration, const Hyper *hyper, int steady)
{
    pthread_t others[MOST_THREADS];
    Start starts[MOST_THREADS];
    int threads = 1;
    w->training = (Training){data, order, hyper, total, count, iteration, steady};
    w->done = 0;
    read_counts(w);
    atomic_store(&w->threads, 0);
    for (; threads < w->network->threads; threads++) { /* fewer if the system refuses more */
        starts[threads] = (Start){w, threads};
        if (pthread_create(&others[threads], 0, run, &starts[threads])) break;
    }
    atomic_store(&w->threads, threads);
    w->kernels->train(w, 0, threads);
    for (int i = 1; i < threads; i++) pthread_join(others[i], 0);
    write_counts(w);
    return w->done;
}

void native_evaluate(Workspace *w, const Rows *data, double *figures) { w->kernels->evaluate(w, data, figures, 0); }

void native_outputs(Workspace *w, const Rows *data, float *outputs) { w->kernels->evaluate(w, data, 0, outputs); }

/* ---- random numbers ---- */

void native_masks(int target, float *mask, int64_t rows, int64_t units, double p, uint64_t seed, int64_t layer,
                  int64_t iteration)
{
    kernels_of(target)->masks(mask, rows, units, p, seed, layer, iteration);
}

void native_normal(int target, float *x, int64_t blocks, float mean, float std)
{
    kernels_of(target)->normal(x, blocks, mean, std);
}

/* ---- for tests ---- */

void native_function(int target, int which, const float *x, float *y, int64_t n)
{
    kernels_of(target)->apply(which, x, y, n);
}

void native_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4])
{
    kernels_of(0)->words(counter, key, words);
}

int64_t native_size(int structure)
{
    const int64_t sizes[] = {sizeof(Hyper), sizeof(Parameter), sizeof(Layer), sizeof(Rows), sizeof(Network)};
    return sizes[structure];
}
