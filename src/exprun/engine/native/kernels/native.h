/* The native engine: whole epochs of a multilayer perceptron as plain C.

   Letters for shapes, in all files here:
     n  rows of a batch            in, out  inputs and units of a layer
     ld numbers from one row of a matrix in memory to the next ("leading dimension")

   Activations and their gradients lie unit by unit, (units, ld) with one column for each row of the
   batch: what is done to every row alike is then done side by side in vector registers, and
   the few units of an output layer fill them as well as many do. Columns from n up to a multiple of LANES
   are padding: computed, and never read by a number that counts.

   Weights, states of the optimizer, running statistics and averages are torch's own memory; nothing
   is copied in or out. The structures below are mirrored in library.py.

   Every number is computed by operations that IEEE 754 rounds alike everywhere (+ - * / sqrt fma),
   in an order that no vector width and no number of threads changes. So it has the same bits on every
   machine. That is why the compiler may not contract or reorder anything (-ffp-contract=off). */
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
enum Loss { CROSS_ENTROPY, BINARY_CROSS_ENTROPY, SQUARED_ERROR, ABSOLUTE_ERROR, HUBER };
enum Optimizer { SGD, MOMENTUM, ADAGRAD, ADADELTA, RMSPROP, ADAM, ADAMW, ADAMAX, NADAM, RADAM };
enum Option { NESTEROV = 1, CENTERED = 2, AMSGRAD = 4, DECOUPLED = 8 };

/* What a parameter group of the optimizer says in one iteration. */
typedef struct {
    double lr, weight_decay, eps;
    double beta1;    /* momentum, beta1, alpha or rho */
    double beta2;    /* beta2, or dampening, or RMSprop's momentum, or lr_decay */
    double decay;    /* 0.96^momentum_decay of NAdam */
} Hyper;

/* A trained tensor of `count` numbers. */
typedef struct {
    float *w;          /* NULL: there is none */
    float *state[3];   /* of the optimizer, as optimizers.h names them */
    float *average;    /* of averaging, or NULL */
    void *step;        /* the optimizer's count of iterations, or NULL */
    float *product;    /* NAdam's product of momenta, or NULL */
    int64_t count;
    int32_t group;     /* its parameter group */
    int32_t wide_step; /* whether `step` is a double, else a float */
    int32_t fresh;     /* whether its states are still those before the first iteration */
    int32_t rows;      /* of a weight matrix: units; else 1 */
    double l1, l2;     /* gradient of the penalties: l1 sign(w) + l2 w */
    double max_norm;   /* of each row; 0: no bound */
} Parameter;

/* z = W x + b, (out, in); norm before or after the activation; dropout. */
typedef struct {
    Parameter weight, bias, scale, shift;
    float *running_mean, *running_var; /* (out,), or NULL */
    int64_t *batches;                  /* that these have seen, or NULL */
    int64_t in, out;
    double eps, momentum;              /* of the norm; a negative momentum averages all batches alike */
    double p;                          /* of dropout */
    int32_t activation, norm, norm_after;
    int32_t padding;
} Layer;

/* Rows of inputs (rows, in), and what is to be answered: class ids of cross-entropy, else (rows, out). */
typedef struct {
    const float *x;
    const int64_t *ids;
    const float *targets;
    const float *weights; /* (rows,) on the loss of each, or NULL */
    int64_t rows;
} Rows;

typedef struct {
    Layer *layers;
    int64_t depth;            /* layers, the output layer among them */
    int64_t batch;            /* rows of a batch at most */
    uint64_t seed;            /* of the dropout masks */
    double label_smoothing, delta, average_decay;
    double smoothing_classes; /* classes that label smoothing is shared among */
    int32_t loss, sum;        /* `sum`: the loss of a batch is the sum of its rows', else their mean */
    int32_t optimizer, options;
    int32_t groups;
    int32_t threads;
} Network;

/* A network's memory for activations and gradients; target: an index of native_target. NULL if there
   is not so much memory. */
typedef struct Workspace Workspace;
Workspace *native_open(const Network *network, int target);
void native_close(Workspace *);

/* The name of an instruction set that this processor has, the widest first; NULL after the last. */
const char *native_target(int index);

/* Train on `count` batches: rows order[0 … total) in batches of network->batch, the last maybe smaller.
   `iteration` is the number of the first since the start of the training. hyper: (count, groups), or
   (1, groups) for all of them if `steady`. Returns how many iterations were done: fewer than `count` if
   the loss of the next is not finite, whose weights are then those before it. */
int64_t native_train(Workspace *, const Rows *, const int64_t *order, int64_t total, int64_t count,
                     int64_t iteration, const Hyper *hyper, int steady);

/* Measure rows as they are, without dropout and with the running statistics. figures: sum of the losses;
   rows answered right; then for each output the sums of squared and absolute errors. */
void native_evaluate(Workspace *, const Rows *, double *figures);

/* The outputs (rows, out) for inputs (rows, in). */
void native_outputs(Workspace *, const Rows *, float *outputs);

/* Whether all numbers that are trained are finite. */
int native_finite(const Network *);

/* Copy all that a training changes into a block of native_saved bytes, and back. */
int64_t native_saved(const Network *);
void native_save(const Network *, char *block);
void native_restore(const Network *, const char *block);

/* For tests: n values of one of functions.h, and dropout's random words. */
void native_function(int target, int which, const float *x, float *y, int64_t n);
void native_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4]);
void native_masks(int target, float *mask, int64_t rows, int64_t units, double p, uint64_t seed, int64_t layer,
                  int64_t iteration);
int64_t native_size(int structure); /* of Hyper, Parameter, Layer, Rows, Network: to be compared */

#pragma GCC visibility pop

#endif
