/* Trains small networks of every kind with the kernels, and prints a checksum of what each ends with.

   Compiled with sanitizers, which stop it at what is wrong; and for several instruction sets, which must print the
   same. Arguments: the instruction set's index of native_target, and the threads. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"

enum { ROWS = 50, INPUTS = 5, BATCH = 18, EPOCHS = 3, DEEPEST = 3 };

static uint64_t drawn;

/* A number from -1 to 1, from a 64-bit congruential generator: whole numbers, the same everywhere. */
static float draw(void)
{
    drawn = drawn * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(drawn >> 32) / 2147483648.0f;
}

static float *numbers(int64_t count, float scale)
{
    float *x = malloc(count * sizeof *x); /* just as long, so that a step too far is seen */
    for (int64_t i = 0; i < count; i++) x[i] = scale * draw();
    return x;
}

static uint64_t checksum(uint64_t sum, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) sum = (sum ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
    return sum;
}

typedef struct {
    int optimizer, options, activation, norm, norm_after, loss, sum, layers, coded;
    double p, l1, l2, max_norm, decay, smoothing;
} Case;

static Parameter parameter(const Case *c, int64_t rows, int64_t columns, float scale, int averaged)
{
    Parameter p = {.w = numbers(rows * columns, scale), .count = rows * columns, .rows = columns > 1 ? rows : 1, .fresh = 1};
    const int third = (c->optimizer == RMSPROP && c->options & CENTERED) || (c->optimizer == ADAM && c->options & AMSGRAD);
    for (int i = 0; i < 2 + third; i++) p.state[i] = numbers(p.count, 0.0f);
    p.wide_step = c->optimizer >= ADAMAX;
    p.step = calloc(1, 8);
    p.product = numbers(1, 0.0f);
    *p.product = 1.0f;
    if (averaged) p.average = numbers(p.count, 0.0f);
    p.l1 = c->l1;
    p.l2 = c->l2;
    if (columns > 1) p.max_norm = c->max_norm;
    return p;
}

static uint64_t look_at(uint64_t sum, Parameter *p)
{
    if (!p->w) return sum;
    sum = checksum(sum, p->w, p->count * sizeof(float));
    for (int i = 0; i < 3; i++)
        if (p->state[i]) sum = checksum(sum, p->state[i], p->count * sizeof(float));
    if (p->average) sum = checksum(sum, p->average, p->count * sizeof(float));
    free(p->w);
    for (int i = 0; i < 3; i++) free(p->state[i]);
    free(p->average);
    free(p->step);
    free(p->product);
    return sum;
}

static void run(const Case *c, int target, int threads)
{
    static const int64_t widths[] = {7, 33, 13};
    const int64_t outputs = c->loss == CROSS_ENTROPY ? 3 : 2;
    drawn = 1;
    Layer layers[DEEPEST + 1];
    memset(layers, 0, sizeof layers);
    for (int l = 0; l <= c->layers; l++) {
        Layer *layer = &layers[l];
        const int hidden = l < c->layers;
        layer->in = l ? widths[l - 1] : INPUTS;
        layer->out = hidden ? widths[l] : outputs;
        layer->weight = parameter(c, layer->out, layer->in, 0.7f, 1);
        layer->bias = parameter(c, layer->out, 1, 0.1f, 1);
        if (!hidden) continue;
        layer->activation = c->activation;
        layer->p = c->p;
        layer->norm = c->norm;
        layer->norm_after = c->norm_after;
        layer->eps = 1e-5;
        layer->momentum = 0.1;
        if (c->norm) {
            layer->scale = parameter(c, layer->out, 1, 1.0f, 1);
            layer->shift = parameter(c, layer->out, 1, 0.1f, 1);
        }
        if (c->norm == BATCH_NORM) {
            layer->running_mean = numbers(layer->out, 0.0f);
            layer->running_var = numbers(layer->out, 0.0f);
            layer->batches = calloc(1, 8);
        }
    }
    static const int64_t places[] = {3, 1};
    const int64_t of_a_row = c->coded ? 2 : INPUTS;
    float *x = numbers(ROWS * of_a_row, 2.0f), *targets = numbers(ROWS * outputs, 1.0f), *weights = numbers(ROWS, 1.0f);
    int64_t *ids = malloc(ROWS * sizeof *ids), *order = malloc(ROWS * sizeof *order);
    for (int64_t i = 0; i < ROWS; i++) {
        ids[i] = i % outputs;
        order[i] = i * 17 % ROWS;
        if (c->loss == BINARY_CROSS_ENTROPY) targets[i * outputs] = (float)(i % 2), targets[i * outputs + 1] = 0.0f;
    }
    int32_t *codes = c->coded ? malloc(ROWS * 2 * sizeof *codes) : 0; /* input 0 or 2 is 1, and 4 or none */
    for (int64_t i = 0; codes && i < ROWS; i++) {
        codes[2 * i] = (int32_t)(i % 2 * 2);
        codes[2 * i + 1] = i % 3 ? 4 : -1;
    }
    const Rows rows = {x, ids, c->loss == CROSS_ENTROPY ? 0 : targets, weights, ROWS, codes, places, 2, 2};
    const Network net = {
        .layers = layers, .depth = c->layers + 1, .batch = BATCH, .seed = 42, .label_smoothing = c->smoothing,
        .delta = 0.3, .average_decay = 0.9, .smoothing_classes = (double)outputs, .loss = c->loss, .sum = c->sum,
        .optimizer = c->optimizer, .options = c->options, .groups = 1, .threads = threads,
    };
    Workspace *w = native_open(&net, target);
    if (!w) exit(3);
    const Hyper hyper = {.lr = 0.01, .weight_decay = c->decay, .eps = 1e-8, .beta1 = 0.9, .beta2 = c->optimizer >= ADAM ? 0.99 : 0.1,
                         .decay = 0.9998};
    const int64_t count = (ROWS + BATCH - 1) / BATCH;
    char *saved = malloc(native_saved(&net));
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        native_save(&net, saved);
        for (int again = 0; again < 2; again++) {
            native_restore(&net, saved);
            if (native_train(w, &rows, order, ROWS, count, epoch * count, &hyper, 1) != count) {
                printf("diverged\n");
                exit(4);
            }
        }
    }
    double *figures = malloc((2 + 2 * outputs) * sizeof *figures);
    native_evaluate(w, &rows, figures);
    float *answers = malloc(ROWS * outputs * sizeof *answers);
    native_outputs(w, &rows, answers);
    uint64_t sum = checksum(14695981039346656037u, figures, (2 + 2 * outputs) * sizeof *figures);
    sum = checksum(sum, answers, ROWS * outputs * sizeof *answers);
    if (!native_finite(&net)) sum = 0;
    for (int l = 0; l <= c->layers; l++) {
        Layer *layer = &layers[l];
        sum = look_at(sum, &layer->weight);
        sum = look_at(sum, &layer->bias);
        sum = look_at(sum, &layer->scale);
        sum = look_at(sum, &layer->shift);
        if (layer->running_mean) {
            sum = checksum(sum, layer->running_mean, layer->out * sizeof(float));
            sum = checksum(sum, layer->running_var, layer->out * sizeof(float));
        }
        free(layer->running_mean);
        free(layer->running_var);
        free(layer->batches);
    }
    printf("optimizer %d/%d activation %d norm %d/%d loss %d/%d layers %d: loss %.9g, %016llx\n", c->optimizer, c->options,
           c->activation, c->norm, c->norm_after, c->loss, c->sum, c->layers, figures[0], (unsigned long long)sum);
    native_close(w);
    free(x), free(targets), free(weights), free(ids), free(order), free(codes), free(saved), free(figures), free(answers);
}

/* Normal numbers from uniform ones of 24 bits, as torch.rand draws them. */
static void random_numbers(int target)
{
    enum { BLOCKS = 1000 };
    float *x = numbers(BLOCKS * 16, 1.0f);
    for (int i = 0; i < BLOCKS * 16; i++) x[i] = (float)((int32_t)(fabsf(x[i]) * 16777216.0f) & 0xffffff) / 16777216.0f;
    native_normal(target, x, BLOCKS, 0.1f, 0.3f);
    const uint64_t sum = checksum(14695981039346656037u, x, BLOCKS * 16 * sizeof *x);
    printf("normal numbers: %.9g, %016llx\n", x[0], (unsigned long long)sum);
    free(x);
}

int main(int argc, char **argv)
{
    const int target = argc > 1 ? atoi(argv[1]) : 0, threads = argc > 2 ? atoi(argv[2]) : 1;
    if (!native_target(target)) return 2;
    for (int i = 0; i <= RADAM; i++)
        for (int option = 0; option <= DECOUPLED; option = option ? option * 2 : 1)
            run(&(Case){.optimizer = i, .options = option, .activation = RELU, .layers = 2, .decay = 0.01}, target, threads);
    for (int i = 0; i <= MISH; i++)
        for (int layers = 1; layers <= DEEPEST; layers++)
            run(&(Case){.optimizer = ADAM, .activation = i, .layers = layers, .l1 = 1e-3, .l2 = 1e-2, .p = 0.2}, target, threads);
    for (int norm = NO_NORM; norm <= LAYER_NORM; norm++)
        for (int after = 0; after < 2; after++)
            for (int loss = 0; loss <= POISSON; loss++)
                for (int sum = 0; sum < 2; sum++)
                    run(&(Case){.optimizer = SGD, .activation = TANH, .layers = 2, .norm = norm, .norm_after = after, .loss = loss, .sum = sum,
                                .p = after * 0.3, .max_norm = 1.0, .smoothing = loss < 2 ? 0.1 : 0.0}, target, threads);
    run(&(Case){.optimizer = SGD, .loss = SQUARED_ERROR}, target, threads); /* linear regression */
    run(&(Case){.optimizer = SGD, .loss = SQUARED_ERROR, .coded = 1}, target, threads);
    random_numbers(target);
    return 0;
}
