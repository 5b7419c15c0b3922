/* Workspace of a network, and the table of network.c's functions for one instruction set. */
#ifndef EXPRUN_NETWORK_H
#define EXPRUN_NETWORK_H

#include <stdatomic.h>

#include "native.h"

enum { EVALUATED_ROWS = 128 }; /* rows per chunk of an evaluation */
enum { MOST_GROUPS = 16, MOST_THREADS = 64 };

static inline long smaller_long(long a, long b) { return a < b ? a : b; }

static inline long padded(long n) { return (n + LANES - 1) / LANES * LANES; }

/* Leading dimension of (units, n): padded, and no multiple of 512 bytes, because addresses that are large powers of
   two apart map to few cache sets. */
static inline long leading(long n) { return padded(n) % 128 ? padded(n) : padded(n) + LANES; }

/* The same activations as (units, ld) and as (rows, padded units). */
typedef struct { float *by_unit, *by_row; } Activations;

/* Intermediate results of a layer in an iteration; see forward and backward_of_layer. */
typedef struct {
    Activations h;
    float *slope, *mask, *normed, *inverse, *dh, *dz, *scale_gradient, *shift_gradient;
    float momentum; /* of the running statistics in this iteration */
} Memory;

typedef struct { atomic_int waiting, round; } Barrier;
void barrier_wait(Barrier *, int threads);

/* The arguments of native_train. */
typedef struct {
    const Rows *data;
    const int64_t *order;
    const Hyper *hyper;
    int64_t total, count, iteration;
    int steady;
} Training;

/* Coefficients of an optimizer's step, for a parameter group in iteration t = 1, 2, … */
typedef struct {
    float lr, decay, shrink; /* g += decay w; decoupled weight decay: w *= shrink */
    float beta1, beta2, eps;
    float rest1, rest2;      /* 1 - beta1, 1 - beta2 */
    float step_size, root, other;
    float product;           /* NAdam: product of the momenta so far */
} Step;

/* The functions of network.c, compiled for one instruction set. */
typedef struct {
    const char *name;
    int tile_rows;
    void (*train)(Workspace *, int thread, int threads);
    void (*evaluate)(Workspace *, const Rows *, double *figures, float *outputs);
    void (*apply)(int which, const float *x, float *y, int64_t n);
    void (*masks)(float *, int64_t rows, int64_t units, double p, uint64_t seed, int64_t layer, int64_t iteration);
    void (*normal)(float *, int64_t blocks, float mean, float std);
    void (*words)(const uint32_t counter[4], const uint32_t key[2], uint32_t found[4]);
} Kernels;

void finish_iteration(Workspace *);

struct Workspace {
    const Network *network;
    const Kernels *kernels;
    Activations inputs;
    Memory *memory;               /* one per layer */
    float *losses, *work[2];      /* (rows,) */
    float *gradients[MOST_THREADS]; /* per thread, for units_at_once units of a layer */
    long units_at_once;
    void *block;                  /* the allocation that holds all of the above */
    Step steps[MOST_GROUPS];      /* of the current iteration */
    int64_t counts[MOST_GROUPS];  /* the optimizer's step counts */
    float products[MOST_GROUPS];
    int64_t done;
    Training training;
    Barrier barrier;
    atomic_int threads;           /* number of threads; 0 until all are created */
};
#endif
