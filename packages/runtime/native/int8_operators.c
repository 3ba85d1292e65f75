/* The operators around a unit that multiplies int8. */

#include "int8.h"

/* Quantisation */

/* One scale and zero point for all: 0 is a value, the extremes are 0 and 255. What is not finite shows in all. */
static void choose_scale(Product *product, size_t blocks) {
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

/* Weights */

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

static Status *prepare(const Unit *unit, const Tensor *values, const Tensor *scales, const Tensor *zeros, const Tensor *biases, void **kernel) {
    if (!values->data || values->rank != 2 || !scales->data || scales->last != values->last || scales->rows != 1)
        return refuse("glagol: int8 weights must be constant, of 2 axes, with a constant scale for every column");
    if (!values->rows || !values->last) return refuse("glagol: a product's weights are empty");
    for (size_t i = 0; zeros->data && i < zeros->last; i++)
        if (((const int8_t *)zeros->data)[i]) return refuse("glagol: int8 weights must have the zero point 0");
    if (biases->data && biases->last != values->last) return refuse("glagol: there must be a bias for every column");

    Weights *weights = calloc(1, sizeof *weights);
    if (!weights) return refuse("glagol: out of memory");
    weights->unit = unit;
    weights->zeros = zeros->data != NULL;
    weights->depth = values->rows, weights->columns = values->last;
    weights->steps = whole(values->rows, unit->depth) / unit->depth, weights->panels = whole(values->last, EDGE) / EDGE;
    weights->values = aligned_alloc(64, whole(weights->panels * weights->steps * unit->depth * EDGE, 64));
    weights->sums = (int32_t *)padded(weights, NULL);
    weights->scales = padded(weights, scales->data);
    weights->biases = biases->data ? padded(weights, biases->data) : NULL;
    if (!weights->values || !weights->sums || !weights->scales || (biases->data && !weights->biases))
        return destroy(weights), refuse("glagol: out of memory");
    unit->arrange(weights, values->data);
    *kernel = weights;
    return NULL;
}

/* Fills the operand and multiplies; the memory for it comes from `context`. */
static Status *run(Context *context, Product *product, int quantise) {
    const Unit *unit = product->weights->unit;
    const size_t blocks = whole(product->rows, EDGE) / EDGE, bytes = whole(unit->operand_size(product), 64);
    Status *status = NULL;
    Loan loan;
    TRY(borrow(context, bytes + blocks * 2 * sizeof(float), &loan));
    product->operand = loan.data;
    product->extremes = (float *)((uint8_t *)loan.data + bytes);
    if (quantise) {
        status = parallel(context, unit->find_extremes, blocks, product);
        if (!status) choose_scale(product, blocks);
    }
    if (!status) status = parallel(context, quantise ? unit->quantise_rows : unit->copy_rows, blocks, product);
    if (!status) status = parallel(context, unit->multiply, unit->tasks(product), product);
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
    (void)api;
    for (size_t i = 0; i < 4; i++) TRY(constant_input(info, i + 1, &given[i]));
    return prepare(op == &dynamic_quantize_matmul ? &matrix_unit : &vector_unit, &given[0], &given[1], &given[2], &given[3], kernel);
}

static Status *compute_dynamic(void *kernel, Context *context) {
    Product product;
    TRY(begin(context, kernel, 3, 4, &product));
    return product.rows ? run(context, &product, 1) : NULL;
}

static const char *dynamic_name(const Op *op) { return (void)op, "DynamicQuantizeMatMul"; }
static const char *vector_dynamic_name(const Op *op) { return (void)op, "VectorDynamicQuantizeMatMul"; }
static size_t five_inputs(const Op *op) { return (void)op, 5; }
static int dynamic_need(const Op *op, size_t index) { return (void)op, index < 3 ? REQUIRED : OPTIONAL; }
static int dynamic_type(const Op *op, size_t index) { return (void)op, index == 1 || index == 3 ? INT8 : FLOAT; }

#define DYNAMIC(given_name) \
    { \
       .version = API_VERSION, .name = given_name, .provider = on_cpu, \
       .inputs = five_inputs, .input_type = dynamic_type, .input_need = dynamic_need, .input_memory = default_memory, \
       .outputs = one_output, .output_type = one_type, .output_need = required, \
       .fewest_inputs = number_one, .alike_inputs = number_one, .fewest_outputs = number_one, .alike_outputs = number_one, \
       .create = create_dynamic, .compute = compute_dynamic, .destroy = destroy, \
       .first_version = number_one, .last_version = any_version, \
    }

const Op dynamic_quantize_matmul = DYNAMIC(dynamic_name);
const Op vector_dynamic_quantize_matmul = DYNAMIC(vector_dynamic_name);

/* MatMulIntegerToFloat: rows, weights, the rows' scale, scales, the rows' zero point, zero points, biases */

static Status *create_integer(const Op *op, const void *const *api, const Info *info, void **kernel) {
    static const size_t at[4] = {1, 3, 5, 6};
    Tensor given[4];
    (void)api;
    for (size_t i = 0; i < 4; i++) TRY(constant_input(info, at[i], &given[i]));
    return prepare(op == &matmul_integer_to_float ? &matrix_unit : &vector_unit, &given[0], &given[1], &given[2], &given[3], kernel);
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
static const char *vector_integer_name(const Op *op) { return (void)op, "VectorMatMulIntegerToFloat"; }
static size_t seven_inputs(const Op *op) { return (void)op, 7; }
static int integer_need(const Op *op, size_t index) { return (void)op, index < 4 ? REQUIRED : OPTIONAL; }
static int integer_type(const Op *op, size_t index) {
    static const int types[7] = {UINT8, INT8, FLOAT, FLOAT, UINT8, INT8, FLOAT};
    return (void)op, types[index];
}

#define INTEGER(given_name) \
    { \
       .version = API_VERSION, .name = given_name, .provider = on_cpu, \
       .inputs = seven_inputs, .input_type = integer_type, .input_need = integer_need, .input_memory = default_memory, \
       .outputs = one_output, .output_type = one_type, .output_need = required, \
       .fewest_inputs = number_one, .alike_inputs = number_one, .fewest_outputs = number_one, .alike_outputs = number_one, \
       .create = create_integer, .compute = compute_integer, .destroy = destroy, \
       .first_version = number_one, .last_version = any_version, \
    }

const Op matmul_integer_to_float = INTEGER(integer_name);
const Op vector_matmul_integer_to_float = INTEGER(vector_integer_name);
