/* Products of int8 on the matrix unit. */

#include "int8.h"

#define DEPTH 64 /* of a step: 64 bytes of a row */
#define STEP (2 * TILE_BYTES)

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
        uint8_t *to = (uint8_t *)product->operand + block * steps * STEP + i * 64;
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
        uint8_t *to = (uint8_t *)product->operand + block * steps * STEP + i * 64;
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
            block((const uint8_t *)product->operand + row / EDGE * panel_size, b, weights->steps, sums, &ahead, &before);
            before = made;
            before.sums = sums, before.rows = least(EDGE, task.bottom - row);
            before.to = product->output + row * weights->columns + panel * EDGE;
        }
    }
    scale_rows(&before, EDGE);
    _tile_release();
}

/* Weights */

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

static size_t operand_size(const Product *product) {
    return whole(product->rows, EDGE) / EDGE * product->weights->steps * STEP;
}

static size_t tasks(const Product *product) { return tasks_of(product->rows); }

const Unit matrix_unit = {DEPTH, operand_size, arrange, find_extremes, quantise_rows, copy_rows, tasks, multiply};
