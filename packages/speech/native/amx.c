/* MatMul of float32 by constant float32 weights on the matrix unit of Intel's processors (AMX).
 *
 * The unit multiplies bfloat16 and sums in float32. A float32 has 24 bits of mantissa: it is the exact
 * sum of three bfloat16 of 8 bits, cut off and not rounded. Of the nine products of such slices the six
 * that matter are summed; what is left out is below 2^-23 of the product. So the result is as near to the exact one as a float32 kernel's. (Henry, Tang and Heinecke 2019, arXiv 1904.06376.)
 *
 * The library is a custom operator for ONNX Runtime that takes the place of its MatMul. A row's result
 * depends on nothing but the row and the weights: not on the number of rows, nor of threads.
 *
 * Weights are kept as float32, as ONNX Runtime would, in panels of 32 columns; a panel is cut into slices
 * when it is used, for up to ROWS rows at a time. */

#include <cpuid.h>
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "onnxruntime.h"

#define EDGE 32 /* rows and columns of a block of results: four accumulators of 16 x 16 */
#define ROWS 256
#define DEPTH 768 /* ROWS x DEPTH in slices and a panel's slices fit in 2 MiB, a core's second cache */
#define TILE 512  /* bfloat16 of a tile: 16 rows of 64 bytes */
#define STEP (6 * TILE) /* slices of 32 x 32 values: high, middle, low; two tiles each */
#define PARTS 4 /* parts of the columns, for as many threads */

#define AMX __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-bf16")))

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

static const void *const *api;
static Memory *arena;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }
static size_t whole(size_t n) { return (n + EDGE - 1) / EDGE * EDGE; }

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

AMX static void configure(void) {
    static const struct {
        uint8_t palette, start, zero[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } eight_full_tiles = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&eight_full_tiles);
}

/* One slice of 32 rows (tiles 4, 5) by one of 32 columns (tiles 6, 7). */
#define MULTIPLY              \
    _tile_dpbf16ps(0, 4, 6);  \
    _tile_dpbf16ps(1, 4, 7);  \
    _tile_dpbf16ps(2, 5, 6);  \
    _tile_dpbf16ps(3, 5, 7);
#define LOAD_ROWS(n) _tile_loadd(4, a + (2 * n) * TILE, 64), _tile_loadd(5, a + (2 * n + 1) * TILE, 64);
#define LOAD_COLUMNS(n) _tile_loadd(6, b + (2 * n) * TILE, 64), _tile_loadd(7, b + (2 * n + 1) * TILE, 64);

/* Asks for the next panel, some lines a step, while this one is multiplied: it comes from main memory. */
typedef struct {
    const char *next;
    size_t lines;
} Ahead;

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
        for (size_t i = 0; i < ahead->lines; i++, ahead->next += 64) _mm_prefetch(ahead->next, _MM_HINT_T1);
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

/* Part `task % PARTS` of the columns for the ROWS rows from `task / PARTS * ROWS` on. */
AMX static void multiply(void *given, size_t task) {
    const Product *product = given;
    const Weights *weights = product->weights;
    const size_t columns = weights->columns, steps = weights->padded_depth / 32;
    const size_t panels = weights->padded_columns / EDGE, panel_size = weights->padded_depth * EDGE;
    const size_t first = task % PARTS * panels / PARTS, last = (task % PARTS + 1) * panels / PARTS;
    const size_t top = task / PARTS * ROWS, bottom = least(top + ROWS, product->rows);
    const size_t blocks = whole(bottom - top) / EDGE;
    bfloat16 sliced[DEPTH / 32 * STEP] __attribute__((aligned(64)));

    configure();
    for (size_t k = 0; k < weights->padded_depth; k += DEPTH) {
        const size_t depth = least(DEPTH, weights->padded_depth - k);
        for (size_t panel = first; panel < last; panel++) {
            const float *from = weights->panels + panel * panel_size + k * EDGE;
            const size_t width = least(EDGE, columns - panel * EDGE), lines = panel + 1 < last ? 64 : 0;
            Ahead ahead = {(const char *)(from + panel_size), (lines + blocks - 1) / blocks};
            slice_panel(from, depth, sliced);
            for (size_t row = top; row < bottom; row += EDGE) {
                const bfloat16 *a = product->slices + (row / EDGE * steps + k / 32) * STEP;
                const Place place = {product->output + row * columns + panel * EDGE, columns, !k};
                const size_t rows = least(EDGE, bottom - row);
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

#define TRY(call)                    \
    do {                             \
        Status *failed = (call);     \
        if (failed) return failed;   \
    } while (0)

enum { RANK_MAX = 8 };

static Status *refuse(int code, const char *why) { return API(CreateStatus)(code, why); }

static Status *shape_of(const Value *value, int64_t shape[RANK_MAX], size_t *rank) {
    Shape *found;
    TRY(API(GetTensorTypeAndShape)(value, &found));
    Status *status = API(GetDimensionsCount)(found, rank);
    if (!status && (*rank < 2 || *rank > RANK_MAX)) status = refuse(NOT_IMPLEMENTED, "glagol: MatMul takes 2 to 8 axes");
    if (!status) status = API(GetDimensions)(found, shape, *rank);
    API(ReleaseShape)(found);
    return status;
}

static Status *create(const Op *op, const void *const *given, const Info *info, void **kernel) {
    const Value *value;
    int constant;
    int64_t shape[RANK_MAX];
    size_t rank;
    void *data;
    (void)op, (void)given;
    TRY(API(KernelInfoGetConstantInput)(info, 1, &constant, &value));
    if (!constant) return refuse(NOT_IMPLEMENTED, "glagol: MatMul's weights must be constant");
    TRY(shape_of(value, shape, &rank));
    if (rank != 2) return refuse(NOT_IMPLEMENTED, "glagol: MatMul's weights must have 2 axes");
    TRY(API(GetTensorMutableData)(value, &data));

    Weights *weights = malloc(sizeof *weights);
    if (!weights) return refuse(NOT_IMPLEMENTED, "glagol: out of memory");
    *weights = (Weights){(size_t)shape[0], (size_t)shape[1], whole((size_t)shape[0]), whole((size_t)shape[1]), NULL};
    const size_t size = weights->padded_depth * weights->padded_columns * sizeof(float);
    weights->panels = aligned_alloc(64, size);
    if (!weights->panels) return free(weights), refuse(NOT_IMPLEMENTED, "glagol: out of memory");
    memset(weights->panels, 0, size);
    for (size_t panel = 0; panel < weights->padded_columns / EDGE; panel++) {
        const size_t width = least(EDGE, weights->columns - panel * EDGE);
        for (size_t k = 0; k < weights->depth; k++)
            memcpy(weights->panels + (panel * weights->padded_depth + k) * EDGE,
                   (const float *)data + k * weights->columns + panel * EDGE, width * sizeof(float));
    }
    *kernel = weights;
    return NULL;
}

static void destroy(void *kernel) {
    free(((Weights *)kernel)->panels);
    free(kernel);
}

static Status *run(Context *context, Product *product) {
    const size_t tasks = (product->rows + ROWS - 1) / ROWS * PARTS;
    TRY(API(KernelContext_ParallelFor)(context, slice_rows, whole(product->rows) / EDGE, 0, product));
    return API(KernelContext_ParallelFor)(context, multiply, tasks, 0, product);
}

static Status *compute(void *kernel, Context *context) {
    const Weights *weights = kernel;
    Product product = {.weights = weights, .rows = 1};
    const Value *input;
    Value *output;
    int64_t shape[RANK_MAX];
    size_t rank;
    TRY(API(KernelContext_GetInput)(context, 0, &input));
    TRY(shape_of(input, shape, &rank));
    if ((size_t)shape[rank - 1] != weights->depth) return refuse(INVALID, "glagol: MatMul's operands do not fit");
    for (size_t axis = 0; axis + 1 < rank; axis++) product.rows *= (size_t)shape[axis];
    shape[rank - 1] = (int64_t)weights->columns;
    TRY(API(KernelContext_GetOutput)(context, 0, shape, rank, &output));
    if (!product.rows) return NULL;
    TRY(API(GetTensorMutableData)(input, (void **)&product.input));
    TRY(API(GetTensorMutableData)(output, (void **)&product.output));

    Allocator *allocator;
    TRY(API(KernelContext_GetAllocator)(context, arena, &allocator));
    const size_t size = whole(product.rows) / 32 * (weights->padded_depth / 32) * STEP * sizeof(bfloat16);
    void *memory = allocator->alloc(allocator, size + 64);
    product.slices = (bfloat16 *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    Status *status = memory ? run(context, &product) : refuse(NOT_IMPLEMENTED, "glagol: out of memory");
    if (memory) allocator->free(allocator, memory);
    API(ReleaseAllocator)(allocator);
    return status;
}

static const char *name(const Op *op) { return (void)op, "MatMul"; }
static const char *provider(const Op *op) { return (void)op, "CPUExecutionProvider"; }
static int floats(const Op *op, size_t index) { return (void)op, (void)index, FLOAT; }
static int required(const Op *op, size_t index) { return (void)op, (void)index, REQUIRED; }
static int memory(const Op *op, size_t index) { return (void)op, (void)index, DEFAULT_MEMORY; }
static size_t two(const Op *op) { return (void)op, 2; }
static size_t one(const Op *op) { return (void)op, 1; }
static int yes(const Op *op) { return (void)op, 1; }
static int latest(const Op *op) { return (void)op, INT32_MAX; }

static const Op matmul = {
    .version = API_VERSION, .name = name, .provider = provider,
    .input_type = floats, .inputs = two, .input_need = required, .input_memory = memory,
    .output_type = floats, .outputs = one, .output_need = required,
    .fewest_inputs = yes, .alike_inputs = yes, .fewest_outputs = yes, .alike_outputs = yes,
    .create = create, .compute = compute, .destroy = destroy, .first_version = yes, .last_version = latest,
};

#define PUBLIC __attribute__((visibility("default")))

/* sha256 of the source, by build/native: a test sees when the committed library is another's. */
PUBLIC const char glagol_amx_source[] = SOURCE;

/* Whether this processor has what is needed and the kernel lets this process use it. */
PUBLIC int glagol_amx_ready(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18, OSXSAVE = 1 << 27, STATES = 0xe6 };
    const unsigned avx512_f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, amx_bf16_tile = 1u << 22 | 1u << 24;
    unsigned a, b, c, d, saved;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE)) return 0;
    __asm__("xgetbv" : "=a"(saved), "=d"(d) : "c"(0));
    if ((saved & STATES) != STATES || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if ((b & avx512_f_dq_bw_vl) != avx512_f_dq_bw_vl || (d & amx_bf16_tile) != amx_bf16_tile) return 0;
    return !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA);
}

PUBLIC Status *RegisterCustomOps(SessionOptions *options, const Base *base) {
    Domain *domain;
    api = base->api(API_VERSION);
    if (!arena) TRY(API(CreateCpuMemoryInfo)(ARENA, DEFAULT_MEMORY, &arena));
    TRY(API(CreateCustomOpDomain)("", &domain)); /* the standard domain: its MatMul is replaced */
    TRY(API(CustomOpDomain_Add)(domain, &matmul));
    return API(AddCustomOpDomain)(options, domain);
}
