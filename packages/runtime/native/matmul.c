/* MatMul of float32 by constant float32 weights on the matrix unit, with the products of slices.h.
 *
 * A row's result depends on nothing but the row and the weights: not on the number of rows, nor of threads.
 *
 * Weights are kept as float32, as ONNX Runtime would, in panels of 32 columns; a panel is cut into slices when
 * it is used, for up to ROWS rows at a time. */

#include "slices.h"

#define DEPTH 768 /* ROWS x DEPTH in slices and a panel's slices fit in 2 MiB, a core's second cache */

typedef struct {
    size_t depth, columns;               /* of the weights */
    size_t padded_depth, padded_columns; /* whole blocks */
    float *panels;                       /* [padded_columns / 32][padded_depth][32] */
} Weights;

typedef struct {
    const Weights *weights;
    const float *input; /* [rows][depth] */
    float *output;      /* [rows][columns] */
    size_t rows;
    bfloat16 *slices; /* of the input: [rows / 32][padded_depth / 32] steps */
} Product;

/* Slices */

/* 32 rows of the input. */
AMX static void slice_rows(void *given, size_t block) {
    const Product *product = given;
    const size_t depth = product->weights->depth, padded = product->weights->padded_depth;
    for (size_t i = 0; i < EDGE; i++) {
        const size_t row = block * EDGE + i;
        bfloat16 *to = product->slices + block * (padded / 32) * STEP + i * 32;
        for (size_t k = 0; k < padded; k += 32, to += STEP) {
            const size_t left = row < product->rows ? depth - k : 0;
            slice_row(product->input + (left ? row * depth + k : 0), left, to);
        }
    }
}

AMX static void slice_panel(const float *from, size_t depth, bfloat16 *to) {
    for (size_t k = 0; k < depth; k += 32, from += 32 * EDGE, to += STEP)
        for (size_t row = 0; row < 16; row++)
            for (size_t half = 0; half < 2; half++) {
                const float *pair = from + row * EDGE + half * 16;
                slice(_mm512_load_ps(pair), _mm512_load_ps(pair + 16 * EDGE), to + half * TILE + row * 32, 2);
            }
}

/* Products */

/* A block at the edge of the output goes through a whole one beside it. */
AMX static void edge_block(const bfloat16 *a, const bfloat16 *b, size_t depth, Place place, Ahead *ahead,
                           size_t rows, size_t width) {
    float beside[EDGE * EDGE] __attribute__((aligned(64)));
    const size_t bytes = width * sizeof(float);
    if (!place.begin)
        for (size_t i = 0; i < rows; i++) memcpy(beside + i * EDGE, place.to + i * place.columns, bytes);
    block(a, b, depth, (Place){beside, EDGE, place.begin}, ahead);
    for (size_t i = 0; i < rows; i++) memcpy(place.to + i * place.columns, beside + i * EDGE, bytes);
}

AMX static void multiply(void *given, size_t number) {
    const Product *product = given;
    const Weights *weights = product->weights;
    const size_t columns = weights->columns, steps = weights->padded_depth / 32;
    const size_t panels = weights->padded_columns / EDGE, panel_size = weights->padded_depth * EDGE;
    const Task task = task_of(number, product->rows, panels);
    const size_t blocks = whole(task.bottom - task.top, EDGE) / EDGE;
    bfloat16 sliced[DEPTH / 32 * STEP] __attribute__((aligned(64)));

    configure();
    for (size_t k = 0; k < weights->padded_depth; k += DEPTH) {
        const size_t depth = least(DEPTH, weights->padded_depth - k);
        for (size_t panel = task.first; panel < task.last; panel++) {
            const float *from = weights->panels + panel * panel_size + k * EDGE;
            const size_t width = least(EDGE, columns - panel * EDGE), lines = panel + 1 < task.last ? 64 : 0;
            Ahead ahead = {(const char *)(from + panel_size), (lines + blocks - 1) / blocks};
            slice_panel(from, depth, sliced);
            for (size_t row = task.top; row < task.bottom; row += EDGE) {
                const bfloat16 *a = product->slices + (row / EDGE * steps + k / 32) * STEP;
                const Place place = {product->output + row * columns + panel * EDGE, columns, !k};
                const size_t rows = least(EDGE, task.bottom - row);
                if (rows == EDGE && width == EDGE)
                    block(a, sliced, depth, place, &ahead);
                else
                    edge_block(a, sliced, depth, place, &ahead, rows, width);
            }
        }
    }
    _tile_release();
}

/* The operator */

static Status *create(const Op *op, const void *const *api, const Info *info, void **kernel) {
    Tensor given;
    (void)op, (void)api;
    TRY(constant_input(info, 1, &given));
    if (!given.data) return refuse("glagol: MatMul's weights must be constant");
    if (given.rank != 2) return refuse("glagol: MatMul's weights must have 2 axes");
    if (!given.rows || !given.last) return refuse("glagol: a product's weights are empty");

    Weights *weights = malloc(sizeof *weights);
    if (!weights) return refuse("glagol: out of memory");
    *weights = (Weights){given.rows, given.last, whole(given.rows, 32), whole(given.last, EDGE), NULL};
    const size_t panel_size = weights->padded_depth * EDGE, size = panel_size * (weights->padded_columns / EDGE);
    weights->panels = aligned_alloc(64, size * sizeof(float));
    if (!weights->panels) return free(weights), refuse("glagol: out of memory");
    memset(weights->panels, 0, size * sizeof(float));
    for (size_t k = 0; k < weights->depth; k++) /* in the order in which they lie, maybe in a file */
        for (size_t column = 0; column < weights->columns; column += EDGE)
            memcpy(weights->panels + column / EDGE * panel_size + k * EDGE,
                   (const float *)given.data + k * weights->columns + column,
                   least(EDGE, weights->columns - column) * sizeof(float));
    *kernel = weights;
    return NULL;
}

static void destroy(void *kernel) {
    free(((Weights *)kernel)->panels);
    free(kernel);
}

static Status *compute(void *kernel, Context *context) {
    Product product = {.weights = kernel};
    Tensor given;
    Loan loan;
    TRY(input(context, 0, &given));
    if (!given.rank || given.last != product.weights->depth) return refuse("glagol: MatMul's operands do not fit");
    product.input = given.data;
    product.rows = given.rows;
    TRY(output(context, &given, product.weights->columns, &product.output));
    if (!product.rows) return NULL;
    const size_t blocks = whole(product.rows, EDGE) / EDGE;
    TRY(borrow(context, blocks * (product.weights->padded_depth / 32) * STEP * sizeof(bfloat16), &loan));
    product.slices = loan.data;
    Status *status = parallel(context, slice_rows, blocks, &product);
    if (!status) status = parallel(context, multiply, tasks_of(product.rows), &product);
    give_back(loan);
    return status;
}

static const char *name(const Op *op) { return (void)op, "MatMul"; }
static size_t two_inputs(const Op *op) { return (void)op, 2; }

const Op matmul = {
    .version = API_VERSION, .name = name, .provider = on_cpu,
    .inputs = two_inputs, .input_type = one_type, .input_need = required, .input_memory = default_memory,
    .outputs = one_output, .output_type = one_type, .output_need = required,
    .fewest_inputs = number_one, .alike_inputs = number_one, .fewest_outputs = number_one, .alike_outputs = number_one,
    .create = create, .compute = compute, .destroy = destroy, .first_version = number_one, .last_version = any_version,
};
