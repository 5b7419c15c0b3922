/* The native engine: trains whole epochs of a multilayer perceptron in plain C.

   Letters for shapes, in all files here:
     n  rows of a batch            in, out  inputs and units of a layer
     ld numbers from one row of a matrix in memory to the next ("leading dimension")

   Activations and their gradients are stored unit by unit, (units, ld) with one column for each row of
   the batch, so that operations on all rows are vectorised over rows, and an output layer of few units
   fills vector registers as well as a wide layer. Columns from n up to a multiple of LANES
   are padding: they are computed, and no result depends on them.

   Weights, optimizer state, running statistics and averages are stored in torch's own memory; nothing
   is copied in or out. The structures below are mirrored in library.py.

   Every number is computed by operations that IEEE 754 rounds alike everywhere (+ - * / sqrt fma),
   in an order that depends neither on the vector width nor on the number of threads. So it has the same
   bits on every machine. That is why the compiler may not contract or reorder anything
   (-ffp-contract=off). */
#ifndef EXPRUN_NATIVE_H
#define EXPRUN_NATIVE_H

#include <stdint.h>

#pragma GCC visibility push(default)

enum { LANES = 16 }; /* partial sums of a sum over rows, and the multiple that rows are padded to */

enum Activation {
    IDENTITY, RELU, RELU6, LEAKY_RELU, HARDSWISH, SOFTSIGN, SIGMOID, TANH, TANHSHRINK, SILU,
    GELU, ELU, CELU, SELU, SOFTPLUS, MISH
};
enum Norm { NO_NORM, BATCH_NORM, LAYER_NORM };
enum Loss { CROSS_ENTROPY, BINARY_CROSS_ENTROPY, SQUARED_ERROR, ABSOLUTE_ERROR, HUBER, POISSON };
enum Optimizer { SGD, MOMENTUM, ADAGRAD, ADADELTA, RMSPROP, ADAM, ADAMW, ADAMAX, NADAM, RADAM };
enum Option { NESTEROV = 1, CENTERED = 2, AMSGRAD = 4, DECOUPLED = 8 };

/* The hyperparameters of an optimizer's parameter group in one iteration. */
typedef struct {
    double lr, weight_decay, eps;
    double beta1;    /* momentum, beta1, alpha or rho */
    double beta2;    /* beta2, or dampening, or RMSprop's momentum, or lr_decay */
    double decay;    /* 0.96^momentum_decay of NAdam */
} Hyper;

/* A trained tensor of `count` numbers. */
typedef struct {
    float *w;          /* NULL if the layer has no such parameter */
    float *state[3];   /* the optimizer's state tensors, in the order of optimizers.h */
    float *average;    /* weight average, or NULL */
    void *step;        /* the optimizer's count of iterations, or NULL */
    float *product;    /* NAdam's product of momenta, or NULL */
    int64_t count;
    int32_t group;     /* index of its parameter group */
    int32_t wide_step; /* 1 if `step` is a double, 0 if it is a float */
    int32_t fresh;     /* 1 until the first iteration has updated its state */
    int32_t rows;      /* units for a weight matrix, else 1 */
    double l1, l2;     /* gradient of the penalties: l1 sign(w) + l2 w */
    double max_norm;   /* bound of each row's 2-norm; 0: no bound */
} Parameter;

/* A layer: z = W x + b with W (out, in), norm before or after the activation, dropout. */
typedef struct {
    Parameter weight, bias, scale, shift;
    float *running_mean, *running_var; /* (out,), or NULL */
    int64_t *batches;                  /* num_batches_tracked, or NULL */
    int64_t in, out;
    double eps, momentum;              /* of the norm; negative momentum: cumulative average over batches */
    double p;                          /* dropout probability */
    int32_t activation, norm, norm_after;
    int32_t padding;
} Layer;

/* Inputs and targets: class ids (rows,) for cross-entropy, else `targets` (rows, out).

   Inputs are x (rows, in); or, with `codes`, x (rows, numbers) are the inputs with the indices `places`, and of
   the others those with the indices `codes` (rows, columns) are 1, none where an index is negative, the rest 0. */
typedef struct {
    const float *x;
    const int64_t *ids;
    const float *targets;
    const float *weights; /* (rows,) factors of the rows' losses, or NULL */
    int64_t rows;
    const int32_t *codes;  /* or NULL */
    const int64_t *places; /* (numbers,) */
    int64_t columns, numbers;
} Rows;

typedef struct {
    Layer *layers;
    int64_t depth;            /* number of layers including the output layer */
    int64_t batch;            /* maximum rows of a batch */
    uint64_t seed;            /* of the dropout masks */
    double label_smoothing, delta, average_decay;
    double smoothing_classes; /* number of classes that label smoothing is spread over */
    int32_t loss, sum;        /* sum = 1: a batch's loss is the sum over its rows, else the mean */
    int32_t optimizer, options;
    int32_t groups;
    int32_t threads;
} Network;

/* Allocate a network's memory for activations and gradients; `target` is an index of native_target.
   Returns NULL if memory is insufficient. */
typedef struct Workspace Workspace;
Workspace *native_open(const Network *network, int target);
void native_close(Workspace *);

/* The name of the index-th instruction set that this processor supports, widest first; NULL after the last. */
const char *native_target(int index);

/* Train on `count` batches: rows order[0 … total) in batches of network->batch; the last may be smaller.
   `iteration` is the number of the first one since the start of the training. hyper: (count, groups), or
   (1, groups) for all of them if `steady`. Returns the number of completed iterations: fewer than `count`
   if the loss of the next is not finite; the weights are then those before that iteration. */
int64_t native_train(Workspace *, const Rows *, const int64_t *order, int64_t total, int64_t count,
                     int64_t iteration, const Hyper *hyper, int steady);

/* Evaluate rows without dropout and with the running statistics. figures: sum of the losses; number of
   correctly classified rows; then for each output the sums of squared and absolute errors. */
void native_evaluate(Workspace *, const Rows *, double *figures);

/* The outputs (rows, out) for inputs (rows, in). */
void native_outputs(Workspace *, const Rows *, float *outputs);

/* Whether all trained parameters are finite. */
int native_finite(const Network *);

/* Copy everything that training changes into a block of native_saved bytes, and back. */
int64_t native_saved(const Network *);
void native_save(const Network *, char *block);
void native_restore(const Network *, const char *block);

/* Dropout masks (units, padded rows), and normal numbers from `blocks` blocks of 16 uniform ones, for the other engines. */
void native_masks(int target, float *mask, int64_t rows, int64_t units, double p, uint64_t seed, int64_t layer,
                  int64_t iteration);
void native_normal(int target, float *x, int64_t blocks, float mean, float std);

/* For tests: n values of a function of functions.h, and the random words of dropout. */
void native_function(int target, int which, const float *x, float *y, int64_t n);
void native_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4]);
int64_t native_size(int structure); /* sizeof Hyper, Parameter, Layer, Rows, Network, compared with library.py */

#pragma GCC visibility pop

#endif
