/* The two products that ONNX Runtime makes of dynamic int8: u8 rows by constant s8 columns on the matrix unit.
 *
 * MatMulIntegerToFloat takes rows that were quantised before it; DynamicQuantizeMatMul quantises them itself, with
 * one scale and zero point for the whole tensor (ONNX's DynamicQuantizeLinear). Sums of integers are exact, and the
 * few operations on floats are ONNX Runtime's in its order: the results are the same bits. */

#include <math.h>

#include "amx.h"

#define DEPTH 64 /* of a step: 64 bytes of a row */
#define STEP (2 * TILE_BYTES)

typedef struct {
    size_t depth, columns, steps, panels;
    int8_t *values; /* [panels][steps][2 tiles][16][16 columns][4] */
    int32_t *sums;  /* of a column's values; [columns] in whole blocks, as all below */
    float *scales;
    float *biases; /* NULL when there is none */
    int zeros;     /* whether zero points of the columns were given; they are 0 */
} Weights;

typedef struct {
    const Weights *weights;
    const void *input; /* [rows][depth], float or u8 */
    float *output;     /* [rows][columns] */
    size_t rows;
    uint8_t *bytes;  /* the input in blocks: [rows / 32][steps][2 tiles][16][64] */
    float *extremes; /* least and largest value of every 32 rows */
    float scale;
    int32_t zero;
} Product;

/* Quantisation */

AMX static void find_extremes(void *given, size_t number) {
    const Product *product = given;
    const size_t depth = product->weights->depth, first = number * EDGE;
    const size_t count = (least(first + EDGE, product->rows) - first) * depth;
    const float *from = (const float *)product->input + first * depth;
    __m512 low = _mm512_setzero_ps(), high = _mm512_setzero_ps();
    __mmask16 no_number = 0;
    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 there = count - i < 16 ? (__mmask16)((1u << (count - i)) - 1) : (__mmask16)~0;
        const __m512 x = _mm512_maskz_loadu_ps(there, from + i);
        low = _mm512_min_ps(low, x), high = _mm512_max_ps(high, x);
        no_number |= _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    }
    product->extremes[2 * number] = no_number ? -INFINITY : _mm512_reduce_min_ps(low);
    product->extremes[2 * number + 1] = _mm512_reduce_max_ps(high);
}

/* One scale and zero point for all: 0 is a value, the extremes are 0 and 255. What is not finite shows in all. */
AMX static void choose_scale(Product *product, size_t blocks) {
    float low = 0, high = 0;
    for (size_t i = 0; i < blocks; i++) {
        low = product->extremes[2 * i] < low ? product->extremes[2 * i] : low;
        high = product->extremes[2 * i + 1] > high ? product->extremes[2 * i + 1] : high;
    }
    product->scale = low == high ? 1.0f : (high - low) / 255.0f;
    if (!(product->scale <= 3.4e38f)) {
        product->scale = NAN;
        return; /* the zero point stays 0 */
    }
    const float zero = 0.0f - low / product->scale;
    product->zero = _mm_cvtss_si32(_mm_set_ss(zero < 0 ? 0 : zero > 255 ? 255 : zero)); /* half to even */
}

AMX static inline __m128i quantised(const Product *product, const float *from, __mmask16 there) {
    const __m512 least_value = _mm512_set1_ps((float)(0 - product->zero));
    const __m512 largest = _mm512_set1_ps((float)(255 - product->zero));
    __m512 x = _mm512_div_ps(_mm512_maskz_loadu_ps(there, from), _mm512_set1_ps(product->scale));
    x = _mm512_min_ps(_mm512_max_ps(x, least_value), largest);
    return _mm512_cvtepi32_epi8(_mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(product->zero)));
}

/* Brings 32 rows into tiles. What is behind the depth may be anything, since weights there are zero; so may rows
 * that are not there, since their results go nowhere. */
AMX static void quantise_rows(void *given, size_t block) {
    const Product *product = given;
    const size_t depth = product->weights->depth, steps = product->weights->steps;
    const size_t rows = least(EDGE, product->rows - block * EDGE);
    for (size_t i = 0; i < rows; i++) {
        const float *from = (const float *)product->input + (block * EDGE + i) * depth;
        uint8_t *to = product->bytes + block * steps * STEP + i * 64;
        for (size_t k = 0; k < depth; k += 16) {
            const __mmask16 there = depth - k < 16 ? (__mmask16)((1u << (depth - k)) - 1) : (__mmask16)~0;
            _mm_store_si128((__m128i *)(to + k / DEPTH * STEP + k % DEPTH), quantised(product, from + k, there));
        }
    }
}

AMX static void copy_rows(void *given, size_t block) {
    const Product *product = given;
    const size_t depth = product->weights->depth, steps = product->weights->steps;
    const size_t rows = least(EDGE, product->rows - block * EDGE);
    for (size_t i = 0; i < rows; i++) {
        const uint8_t *from = (const uint8_t *)product->input + (block * EDGE + i) * depth;
        uint8_t *to = product->bytes + block * steps * STEP + i * 64;
        for (size_t k = 0; k < depth; k += DEPTH) memcpy(to + k / DEPTH * STEP, from + k, least(DEPTH, depth - k));
    }
}

/* Products */

/* A block of sums that is to become results: 32 columns. */
typedef struct {
    __m512i shift[2]; /* what the rows' zero point adds to a column's sums */
    __m512 scale[2], bias[2];
    __mmask16 there[2];
    int biased;
    const int32_t *sums;
    float *to;
    size_t columns, rows; /* of the output; that are left */
} Pending;

/* What holds for all rows of a panel. */
AMX static Pending pending_of(const Product *product, size_t panel) {
    const Weights *weights = product->weights;
    Pending made = {.columns = weights->columns, .biased = weights->biases != NULL};
    for (size_t half = 0; half < 2; half++) {
        const size_t column = panel * EDGE + half * 16, left = weights->columns - least(column, weights->columns);
        made.there[half] = left < 16 ? (__mmask16)((1u << left) - 1) : (__mmask16)~0;
        const __m512i sums = _mm512_load_si512(weights->sums + column);
        made.shift[half] = _mm512_mullo_epi32(_mm512_set1_epi32(product->zero), sums);
        made.scale[half] = _mm512_mul_ps(_mm512_set1_ps(product->scale), _mm512_load_ps(weights->scales + column));
        made.bias[half] = weights->biases ? _mm512_load_ps(weights->biases + column) : _mm512_setzero_ps();
    }
    return made;
}

/* Takes the zero point out of some rows' sums, scales them and adds the biases. */
AMX static inline void scale_rows(Pending *pending, size_t rows) {
    for (; rows && pending->rows; rows--, pending->rows--, pending->sums += EDGE, pending->to += pending->columns)
        for (size_t half = 0; half < 2; half++) {
            const __m512i sum = _mm512_sub_epi32(_mm512_load_si512(pending->sums + half * 16), pending->shift[half]);
            const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), pending->scale[half]);
            _mm512_mask_storeu_ps(pending->to + half * 16, pending->there[half],
                                  pending->biased ? _mm512_add_ps(value, pending->bias[half]) : value);
        }
}

/* Sums of 32 rows by 32 columns. The matrix unit works on them beside the vector units, which make results of the
 * block before. */
AMX static void block(const uint8_t *a, const int8_t *b, size_t steps, int32_t *to, Ahead *ahead, Pending *before) {
    const size_t rows = (EDGE + steps - 1) / steps;
    _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
    for (size_t step = 0; step < steps; step++, a += STEP, b += STEP) {
        look(ahead);
        _tile_stream_loadd(4, a, 64), _tile_loadd(6, b, 64), _tile_loadd(7, b + TILE_BYTES, 64);
        _tile_stream_loadd(5, a + TILE_BYTES, 64);
        _tile_dpbusd(0, 4, 6), _tile_dpbusd(1, 4, 7), _tile_dpbusd(2, 5, 6), _tile_dpbusd(3, 5, 7);
        scale_rows(before, rows);
    }
    _tile_stored(0, to, EDGE * 4), _tile_stored(1, to + 16, EDGE * 4);
    _tile_stored(2, to + 16 * EDGE, EDGE * 4), _tile_stored(3, to + 16 * EDGE + 16, EDGE * 4);
}

AMX static void multiply(void *given, size_t number) {
    const Product *product = given;
    const Weights *weights = product->weights;
    const Task task = task_of(number, product->rows, weights->panels);
    const size_t panel_size = weights->steps * STEP, blocks = whole(task.bottom - task.top, EDGE) / EDGE;
    int32_t sums[EDGE * EDGE] __attribute__((aligned(64)));
    Pending before = {.rows = 0};

    configure();
    for (size_t panel = task.first; panel < task.last; panel++) {
        const int8_t *b = weights->values + panel * panel_size;
        const size_t lines = panel + 1 < task.last ? STEP / 64 : 0;
        Ahead ahead = {(const char *)(b + panel_size), (lines + blocks - 1) / blocks};
        const Pending made = pending_of(product, panel);
        for (size_t row = task.top; row < task.bottom; row += EDGE) {
            block(product->bytes + row / EDGE * panel_size, b, weights->steps, sums, &ahead, &before);
            before = made;
            before.sums = sums, before.rows = least(EDGE, task.bottom - row);
            before.to = product->output + row * weights->columns + panel * EDGE;
        }
    }
    scale_rows(&before, EDGE);
    _tile_release();
}

/* Operators */

static void destroy(void *kernel) {
    Weights *weights = kernel;
    free(weights->values), free(weights->sums), free(weights->scales), free(weights->biases);
    free(weights);
}

/* A vector in whole blocks, padded with zeros. */
static float *padded(const Weights *weights, const float *from) {
    float *made = aligned_alloc(64, weights->panels * EDGE * sizeof(float));
    if (!made) return NULL;
    memset(made, 0, weights->panels * EDGE * sizeof(float));
    if (from) memcpy(made, from, weights->columns * sizeof(float));
    return made;
}

/* 16 columns of a row; zeros where there are none. */
static __m128i columns_of(const Weights *weights, const int8_t *from, size_t k, size_t column) {
    int8_t padded_row[16] = {0};
    if (k >= weights->depth) return _mm_setzero_si128();
    from += k * weights->columns + column;
    if (column + 16 <= weights->columns) return _mm_loadu_si128((const __m128i *)from);
    memcpy(padded_row, from, weights->columns - column);
    return _mm_loadu_si128((const __m128i *)padded_row);
}

/* Reads the weights once, in their order: they may lie in a file. */
static void arrange(Weights *weights, const int8_t *from) {
    for (size_t k = 0; k < weights->steps * DEPTH; k += 4)
        for (size_t column = 0; column < weights->panels * EDGE; column += 16) {
            __m128i row[4], pairs[4];
            for (size_t i = 0; i < 4; i++)
                row[i] = column < weights->columns ? columns_of(weights, from, k + i, column) : _mm_setzero_si128();
            pairs[0] = _mm_unpacklo_epi8(row[0], row[1]), pairs[1] = _mm_unpackhi_epi8(row[0], row[1]);
            pairs[2] = _mm_unpacklo_epi8(row[2], row[3]), pairs[3] = _mm_unpackhi_epi8(row[2], row[3]);
            const size_t step = column / EDGE * weights->steps + k / DEPTH, half = column % EDGE / 16;
            __m128i *to = (__m128i *)(weights->values + step * STEP + half * TILE_BYTES + k % DEPTH / 4 * 64);
            _mm_store_si128(to, _mm_unpacklo_epi16(pairs[0], pairs[2]));
            _mm_store_si128(to + 1, _mm_unpackhi_epi16(pairs[0], pairs[2]));
            _mm_store_si128(to + 2, _mm_unpacklo_epi16(pairs[1], pairs[3]));
            _mm_store_si128(to + 3, _mm_unpackhi_epi16(pairs[1], pairs[3]));
        }
    for (size_t k = 0; k < weights->depth; k++)
        for (size_t column = 0; column < weights->columns; column++)
            weights->sums[column] += from[k * weights->columns + column];
}

static Status *prepare(const Tensor *values, const Tensor *scales, const Tensor *zeros, const Tensor *biases, void **kernel) {
    if (!values->data || values->rank != 2 || !scales->data || scales->last != values->last || scales->rows != 1)
        return refuse("glagol: int8 weights must be constant, of 2 axes, with a constant scale for every column");
    if (!values->rows || !values->last) return refuse("glagol: a product's weights are empty");
    for (size_t i = 0; zeros->data && i < zeros->last; i++)
        if (((const int8_t *)zeros->data)[i]) return refuse("glagol: int8 weights must have the zero point 0");
    if (biases->data && biases->last != values->last) return refuse("glagol: there must be a bias for every column");

    Weights *weights = calloc(1, sizeof *weights);
    if (!weights) return refuse("glagol: out of memory");
    weights->zeros = zeros->data != NULL;
    weights->depth = values->rows, weights->columns = values->last;
    weights->steps = whole(values->rows, DEPTH) / DEPTH, weights->panels = whole(values->last, EDGE) / EDGE;
    weights->values = aligned_alloc(64, weights->panels * weights->steps * STEP);
    weights->sums = (int32_t *)padded(weights, NULL);
    weights->scales = padded(weights, scales->data);
    weights->biases = biases->data ? padded(weights, biases->data) : NULL;
    if (!weights->values || !weights->sums || !weights->scales || (biases->data && !weights->biases))
        return destroy(weights), refuse("glagol: out of memory");
    arrange(weights, values->data);
    *kernel = weights;
    return NULL;
}

/* Fills the blocks and multiplies; the memory for them comes from `context`. */
static Status *run(Context *context, Product *product, int quantise) {
    const size_t blocks = whole(product->rows, EDGE) / EDGE, bytes = blocks * product->weights->steps * STEP;
    Status *status = NULL;
    Loan loan;
    TRY(borrow(context, bytes + blocks * 2 * sizeof(float), &loan));
    product->bytes = loan.data;
    product->extremes = (float *)((uint8_t *)loan.data + bytes);
    if (quantise) {
        status = parallel(context, find_extremes, blocks, product);
        if (!status) choose_scale(product, blocks);
    }
    if (!status) status = parallel(context, quantise ? quantise_rows : copy_rows, blocks, product);
    if (!status) status = parallel(context, multiply, tasks_of(product->rows), product);
    give_back(loan);
    return status;
}

/* Inputs at `zeros` and `biases` may be left out, but not vary from call to call. */
static Status *begin(Context *context, void *kernel, size_t zeros, size_t biases, Product *product) {
    Tensor given;
    *product = (Product){.weights = kernel};
    TRY(input(context, zeros, &given));
    if (given.data && !product->weights->zeros) return refuse("glagol: int8 weights' zero points must be constant");
    TRY(input(context, biases, &given));
    if (given.data && !product->weights->biases) return refuse("glagol: an int8 product's biases must be constant");
    TRY(input(context, 0, &given));
    if (!given.rank || given.last != product->weights->depth) return refuse("glagol: the operands of a product do not fit");
    product->input = given.data;
    product->rows = given.rows;
    return output(context, &given, product->weights->columns, &product->output);
}

/* DynamicQuantizeMatMul: rows, weights, scales, zero points, biases */

static Status *create_dynamic(const Op *op, const void *const *api, const Info *info, void **kernel) {
    Tensor given[4];
    (void)op, (void)api;
    for (size_t i = 0; i < 4; i++) TRY(constant_input(info, i + 1, &given[i]));
    return prepare(&given[0], &given[1], &given[2], &given[3], kernel);
}

static Status *compute_dynamic(void *kernel, Context *context) {
    Product product;
    TRY(begin(context, kernel, 3, 4, &product));
    return product.rows ? run(context, &product, 1) : NULL;
}

static const char *dynamic_name(const Op *op) { return (void)op, "DynamicQuantizeMatMul"; }
static size_t five_inputs(const Op *op) { return (void)op, 5; }
static int dynamic_need(const Op *op, size_t index) { return (void)op, index < 3 ? REQUIRED : OPTIONAL; }
static int dynamic_type(const Op *op, size_t index) { return (void)op, index == 1 || index == 3 ? INT8 : FLOAT; }

const Op dynamic_quantize_matmul = {
    .version = API_VERSION, .name = dynamic_name, .provider = on_cpu,
    .inputs = five_inputs, .input_type = dynamic_type, .input_need = dynamic_need, .input_memory = default_memory,
    .outputs = one_output, .output_type = one_type, .output_need = required,
    .fewest_inputs = number_one, .alike_inputs = number_one, .fewest_outputs = number_one, .alike_outputs = number_one,
    .create = create_dynamic, .compute = compute_dynamic, .destroy = destroy,
    .first_version = number_one, .last_version = any_version,
};

/* MatMulIntegerToFloat: rows, weights, the rows' scale, scales, the rows' zero point, zero points, biases */

static Status *create_integer(const Op *op, const void *const *api, const Info *info, void **kernel) {
    static const size_t at[4] = {1, 3, 5, 6};
    Tensor given[4];
    (void)op, (void)api;
    for (size_t i = 0; i < 4; i++) TRY(constant_input(info, at[i], &given[i]));
    return prepare(&given[0], &given[1], &given[2], &given[3], kernel);
}

static Status *compute_integer(void *kernel, Context *context) {
    Product product;
    Tensor scale, zero;
    TRY(begin(context, kernel, 5, 6, &product));
    TRY(input(context, 2, &scale));
    TRY(input(context, 4, &zero));
    if (!scale.data || scale.rows * scale.last != 1 || (zero.data && zero.rows * zero.last != 1))
        return refuse("glagol: the rows of an int8 product have one scale and one zero point");
    product.scale = *(const float *)scale.data;
    product.zero = zero.data ? *(const uint8_t *)zero.data : 0;
    return product.rows ? run(context, &product, 0) : NULL;
}

static const char *integer_name(const Op *op) { return (void)op, "MatMulIntegerToFloat"; }
static size_t seven_inputs(const Op *op) { return (void)op, 7; }
static int integer_need(const Op *op, size_t index) { return (void)op, index < 4 ? REQUIRED : OPTIONAL; }
static int integer_type(const Op *op, size_t index) {
    static const int types[7] = {UINT8, INT8, FLOAT, FLOAT, UINT8, INT8, FLOAT};
    return (void)op, types[index];
}

const Op matmul_integer_to_float = {
    .version = API_VERSION, .name = integer_name, .provider = on_cpu,
    .inputs = seven_inputs, .input_type = integer_type, .input_need = integer_need, .input_memory = default_memory,
    .outputs = one_output, .output_type = one_type, .output_need = required,
    .fewest_inputs = number_one, .alike_inputs = number_one, .fewest_outputs = number_one, .alike_outputs = number_one,
    .create = create_integer, .compute = compute_integer, .destroy = destroy,
    .first_version = number_one, .last_version = any_version,
};
