/* A network's memory, and the functions of network.c for one instruction set. */
#ifndef EXPRUN_NETWORK_H
#define EXPRUN_NETWORK_H

#include <stdatomic.h>

#include "native.h"

enum { EVALUATED_ROWS = 128 }; /* that are measured together */
enum { MOST_GROUPS = 16, MOST_THREADS = 64 };

static inline long smaller_long(long a, long b) { return a < b ? a : b; }

static inline long padded(long n) { return (n + LANES - 1) / LANES * LANES; }

/* From one unit to the next in (units, n): padded, and no multiple of 512 bytes, for lines that many powers of two
   apart share a few places of the cache. */
static inline long leading(long n) { return padded(n) % 128 ? padded(n) : padded(n) + LANES; }

/* (units, ld), and the same as (rows, padded units). */
typedef struct { float *by_unit, *by_row; } Activations;

/* What a layer computes in an iteration; see forward and backward_of_layer. */
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

/* What an optimizer's step depends on besides the numbers: the parameter group and the iteration t = 1, 2, … */
typedef struct {
    float lr, decay, shrink; /* decay w is added to g; w is multiplied by shrink, if weight decay is decoupled */
    float beta1, beta2, eps;
    float rest1, rest2;      /* 1 - beta1, 1 - beta2 */
    float step_size, root, other;
    float product;           /* NAdam: of the momenta so far */
} Step;

/* The functions of network.c, as compiled for an instruction set. */
typedef struct {
    const char *name;
    int tile_rows;
    void (*train)(Workspace *, int thread, int threads);
    void (*evaluate)(Workspace *, const Rows *, double *figures, float *outputs);
    void (*apply)(int which, const float *x, float *y, int64_t n);
    void (*masks)(float *, int64_t rows, int64_t units, double p, uint64_t seed, int64_t layer, int64_t iteration);
    void (*words)(const uint32_t counter[4], const uint32_t key[2], uint32_t found[4]);
} Kernels;

void finish_iteration(Workspace *);

struct Workspace {
    const Network *network;
    const Kernels *kernels;
    Activations inputs;
    Memory *memory;               /* of each layer */
    float *losses, *work[2];      /* (rows,) */
    float *gradients[MOST_THREADS]; /* of some units of a layer */
    long units_at_once;
    void *block;                  /* all of the above */
    Step steps[MOST_GROUPS];      /* of the iteration */
    int64_t counts[MOST_GROUPS];  /* iterations that the optimizer has done */
    float products[MOST_GROUPS];
    int64_t done;
    Training training;
    Barrier barrier;
    atomic_int threads;           /* that take part, once they all know */
};
#endif
