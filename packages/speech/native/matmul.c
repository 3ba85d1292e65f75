/* MatMul of float32 by constant float32 weights on the matrix unit of Intel's processors (AMX).
 *
 * The unit multiplies bfloat16 and sums in float32. A float32 has 24 bits of mantissa: it is the exact sum of
 * three bfloat16 of 8 bits, cut off and not rounded. Of the nine products of such slices the six that matter
 * are summed; what is left out is 2^-24 of a product on average, and 2^-21 at most. So the result is as near to
 * the exact one as a float32 kernel's where signs are mixed, and a few units further where they are not. (Henry,
 * Tang and Heinecke 2019, arXiv 1904.06376.) Slices below 2^-126 count as zero: numbers below 2^-110 lose digits.
 *
 * A row's result depends on nothing but the row and the weights: not on the number of rows, nor of threads.
 *
 * Weights are kept as float32, as ONNX Runtime would, in panels of 32 columns; a panel is cut into slices when
 * it is used, for up to ROWS rows at a time. */

#include "amx.h"

#define DEPTH 768 /* ROWS x DEPTH in slices and a panel's slices fit in 2 MiB, a core's second cache */
#define TILE (TILE_BYTES / 2)
#define STEP (6 * TILE) /* slices of 32 x 32 values: high, middle, low; two tiles each */

typedef uint16_t bfloat16;

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

/* The upper halves of 2 x 16 floats, interleaved: the pairs of which AMX sums the products. */
AMX static inline __m512i upper(__m512 a, __m512 b) {
    const __m512i high = _mm512_set1_epi32((int)0xffff0000);
    const __m512i low = _mm512_srli_epi32(_mm512_castps_si512(a), 16);
    return _mm512_or_si512(low, _mm512_and_si512(_mm512_castps_si512(b), high));
}

AMX static inline __m512 rest(__m512 x) {
    const __m512i high = _mm512_set1_epi32((int)0xffff0000);
    return _mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), high)));
}

AMX static inline void slice(__m512 a, __m512 b, bfloat16 *to) {
    _mm512_store_si512(to, upper(a, b));
    a = rest(a), b = rest(b);
    _mm512_store_si512(to + 2 * TILE, upper(a, b));
    a = rest(a), b = rest(b);
    _mm512_store_si512(to + 4 * TILE, upper(a, b));
}

/* 32 rows of the input. Both sides pair the values k and k + 16 of every 32. */
AMX static void slice_rows(void *given, size_t block) {
    const Product *product = given;
    const size_t depth = product->weights->depth, padded = product->weights->padded_depth;
    for (size_t i = 0; i < EDGE; i++) {
        const size_t row = block * EDGE + i;
        bfloat16 *to = product->slices + block * (padded / 32) * STEP + i * 32;
        for (size_t k = 0; k < padded; k += 32, to += STEP) {
            const size_t left = row < product->rows ? least(depth - k, 32) : 0;
            const __mmask32 there = left == 32 ? ~0u : (1u << left) - 1;
            const float *from = product->input + (left ? row * depth + k : 0);
            slice(_mm512_maskz_loadu_ps((__mmask16)there, from),
                  _mm512_maskz_loadu_ps((__mmask16)(there >> 16), from + 16), to);
        }
    }
}

AMX static void slice_panel(const float *from, size_t depth, bfloat16 *to) {
    for (size_t k = 0; k < depth; k += 32, from += 32 * EDGE, to += STEP)
        for (size_t row = 0; row < 16; row++)
            for (size_t half = 0; half < 2; half++) {
                const float *pair = from + row * EDGE + half * 16;
                slice(_mm512_load_ps(pair), _mm512_load_ps(pair + 16 * EDGE), to + half * TILE + row * 32);
            }
}

/* Products */

/* One slice of 32 rows (tiles 4, 5) by one of 32 columns (tiles 6, 7). */
#define MULTIPLY              \
    _tile_dpbf16ps(0, 4, 6);  \
    _tile_dpbf16ps(1, 4, 7);  \
    _tile_dpbf16ps(2, 5, 6);  \
    _tile_dpbf16ps(3, 5, 7);
#define LOAD_ROWS(n) _tile_loadd(4, a + (2 * n) * TILE, 64), _tile_loadd(5, a + (2 * n + 1) * TILE, 64);
#define LOAD_COLUMNS(n) _tile_loadd(6, b + (2 * n) * TILE, 64), _tile_loadd(7, b + (2 * n + 1) * TILE, 64);

/* Where a block of results goes. */
typedef struct {
    float *to;
    size_t columns; /* of a row there */
    int begin;      /* or add to what is there */
} Place;

AMX static void block(const bfloat16 *a, const bfloat16 *b, size_t depth, Place place, Ahead *ahead) {
    const size_t stride = place.columns * sizeof(float);
    float *upper_half = place.to, *lower_half = place.to + 16 * place.columns;
    if (place.begin) {
        _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
    } else {
        _tile_loadd(0, upper_half, stride), _tile_loadd(1, upper_half + 16, stride);
        _tile_loadd(2, lower_half, stride), _tile_loadd(3, lower_half + 16, stride);
    }
    for (size_t k = 0; k < depth; k += 32, a += STEP, b += STEP) {
        look(ahead);
        LOAD_ROWS(0) LOAD_COLUMNS(2) MULTIPLY
        LOAD_COLUMNS(1) MULTIPLY
        LOAD_COLUMNS(0) MULTIPLY
        LOAD_ROWS(2) MULTIPLY
        LOAD_ROWS(1) MULTIPLY
        LOAD_COLUMNS(1) MULTIPLY
    }
    _tile_stored(0, upper_half, stride), _tile_stored(1, upper_half + 16, stride);
    _tile_stored(2, lower_half, stride), _tile_stored(3, lower_half + 16, stride);
}

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
    if (given.rank < 2 || given.last != product.weights->depth) return refuse("glagol: MatMul's operands do not fit");
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
