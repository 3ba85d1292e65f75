/* Products of int8 on vector units of 256 bits (AVX2), exact.
 *
 * The one instruction of AVX2 for bytes adds two products in 16 bits, which saturate. Here both sides are 16 bits wide
 * when they are multiplied: vpmaddwd adds two products in 32 bits. It is as fast, since the other way needs it too. Six
 * rows are multiplied by 16 columns at a time: 12 sums, which are all that 16 registers hold beside the operands. */

#include "int8.h"

#define VECTOR __attribute__((target("avx2")))
#define DEPTH 2 /* of a step: a pair of a row, whose products one instruction adds */
#define PANEL 16 /* columns that are multiplied at a time: half a panel of weights */
#define TILE 6   /* rows at a time */
#define TASK (42 * TILE) /* rows */

/* A row of the operand [tiles][steps][6 rows][2]: its pairs lie six pairs apart. What is behind the depth is zero, and
 * what is behind the last row may be anything, since its results go nowhere. */
static int16_t *row_of(const Product *product, size_t row) {
    return (int16_t *)product->operand + (row / TILE * product->weights->steps * TILE + row % TILE) * DEPTH;
}

static size_t operand_size(const Product *product) {
    return whole(product->rows, TILE) * product->weights->steps * DEPTH * sizeof(int16_t);
}

/* Puts 8 numbers of 16 bits at their places from the number k on. */
VECTOR static inline void put(__m128i numbers, int16_t *to, size_t k) {
    to += k * TILE;
    const int32_t pairs[4] = {_mm_extract_epi32(numbers, 0), _mm_extract_epi32(numbers, 1),
                              _mm_extract_epi32(numbers, 2), _mm_extract_epi32(numbers, 3)};
    for (size_t i = 0; i < 4; i++) memcpy(to + i * TILE * DEPTH, &pairs[i], sizeof pairs[i]);
}

/* Quantisation */

/* The first `count` of 8 lanes. */
VECTOR static inline __m256i first_of(size_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)least(count, 8)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

VECTOR static inline float lane(__m256 x, int larger) {
    float lanes[8], found;
    _mm256_storeu_ps(lanes, x);
    found = lanes[0];
    for (size_t i = 1; i < 8; i++) found = (lanes[i] > found) == larger ? lanes[i] : found;
    return found;
}

VECTOR static void find_extremes(void *given, size_t number) {
    const Product *product = given;
    const size_t depth = product->weights->depth, first = number * EDGE;
    const size_t count = (least(first + EDGE, product->rows) - first) * depth;
    const float *from = (const float *)product->input + first * depth;
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps(), no_number = _mm256_setzero_ps();
    for (size_t i = 0; i < count; i += 8) {
        const __m256 x = count - i < 8 ? _mm256_maskload_ps(from + i, first_of(count - i)) : _mm256_loadu_ps(from + i);
        low = _mm256_min_ps(low, x), high = _mm256_max_ps(high, x);
        no_number = _mm256_or_ps(no_number, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    }
    product->extremes[2 * number] = _mm256_movemask_ps(no_number) ? -INFINITY : lane(low, 0);
    product->extremes[2 * number + 1] = lane(high, 1);
}

VECTOR static inline __m256i quantised(const Product *product, __m256 x) {
    const __m256 least_value = _mm256_set1_ps((float)(0 - product->zero));
    const __m256 largest = _mm256_set1_ps((float)(255 - product->zero));
    x = _mm256_div_ps(x, _mm256_set1_ps(product->scale));
    x = _mm256_min_ps(_mm256_max_ps(x, least_value), largest);
    return _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(product->zero));
}

VECTOR static void quantise_row(const Product *product, const float *from, int16_t *to) {
    const size_t depth = product->weights->depth;
    size_t k = 0;
    for (; k + 8 <= depth; k += 8) {
        const __m256i x = quantised(product, _mm256_loadu_ps(from + k));
        put(_mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)), to, k);
    }
    if (k == depth) return;
    int32_t lanes[8];
    _mm256_storeu_si256((__m256i *)lanes, quantised(product, _mm256_maskload_ps(from + k, first_of(depth - k))));
    for (size_t i = 0; k + i < product->weights->steps * DEPTH; i++)
        to[(k + i) / DEPTH * DEPTH * TILE + i % DEPTH] = k + i < depth ? (int16_t)lanes[i] : 0;
}

/* Brings 32 rows to 16 bits. */
VECTOR static void quantise_rows(void *given, size_t block) {
    const Product *product = given;
    for (size_t row = block * EDGE; row < least((block + 1) * EDGE, product->rows); row++)
        quantise_row(product, (const float *)product->input + row * product->weights->depth, row_of(product, row));
}

VECTOR static void copy_rows(void *given, size_t block) {
    const Product *product = given;
    const size_t depth = product->weights->depth;
    for (size_t row = block * EDGE; row < least((block + 1) * EDGE, product->rows); row++) {
        const uint8_t *from = (const uint8_t *)product->input + row * depth;
        int16_t *to = row_of(product, row);
        size_t k = 0;
        for (; k + 8 <= depth; k += 8) put(_mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)(from + k))), to, k);
        for (; k < product->weights->steps * DEPTH; k++)
            to[k / DEPTH * DEPTH * TILE + k % DEPTH] = k < depth ? from[k] : 0;
    }
}

/* Products */

/* What holds for all rows of 16 columns. */
typedef struct {
    __m256i shift[2]; /* what the rows' zero point adds to a column's sums */
    __m256 scale[2], bias[2];
    int biased;
    size_t there; /* columns */
} Columns;

VECTOR static Columns columns_of(const Product *product, size_t column) {
    const Weights *weights = product->weights;
    Columns made = {.biased = weights->biases != NULL, .there = least(PANEL, weights->columns - column)};
    for (size_t half = 0; half < 2; half++, column += 8) {
        const __m256i sums = _mm256_load_si256((const __m256i *)(weights->sums + column));
        made.shift[half] = _mm256_mullo_epi32(_mm256_set1_epi32(product->zero), sums);
        made.scale[half] = _mm256_mul_ps(_mm256_set1_ps(product->scale), _mm256_load_ps(weights->scales + column));
        made.bias[half] = weights->biases ? _mm256_load_ps(weights->biases + column) : _mm256_setzero_ps();
    }
    return made;
}

/* Takes the zero point out of a row's sums, scales them and adds the biases. */
VECTOR static inline void give_out(const Columns *columns, const __m256i *sums, float *to) {
    float lanes[PANEL];
    float *at = columns->there < PANEL ? lanes : to;
    for (size_t half = 0; half < 2; half++) {
        const __m256i sum = _mm256_sub_epi32(sums[half], columns->shift[half]);
        const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), columns->scale[half]);
        _mm256_storeu_ps(at + half * 8, columns->biased ? _mm256_add_ps(value, columns->bias[half]) : value);
    }
    if (at == lanes) memcpy(to, lanes, columns->there * sizeof(float));
}

/* Sums of six rows by 16 columns. */
VECTOR static inline __attribute__((always_inline)) void product_of(
    const int16_t *rows, const int8_t *weights, size_t steps, __m256i sums[TILE][2]) {
#pragma GCC unroll 6
    for (size_t i = 0; i < TILE; i++) sums[i][0] = sums[i][1] = _mm256_setzero_si256();
#pragma unroll 2
    for (size_t step = 0; step < steps; step++, rows += TILE * DEPTH, weights += PANEL * DEPTH) {
        const __m256i a = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)weights));
        const __m256i b = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)weights + 1));
#pragma GCC unroll 6
        for (size_t i = 0; i < TILE; i++) {
            int32_t pair;
            memcpy(&pair, rows + i * DEPTH, sizeof pair);
            const __m256i row = _mm256_set1_epi32(pair);
            sums[i][0] = _mm256_add_epi32(sums[i][0], _mm256_madd_epi16(row, a));
            sums[i][1] = _mm256_add_epi32(sums[i][1], _mm256_madd_epi16(row, b));
        }
    }
}

/* As task_of, with whole tiles of rows. */
static size_t tasks(const Product *product) { return whole(product->rows, TASK) / TASK * PARTS; }

VECTOR static void multiply(void *given, size_t number) {
    const Product *product = given;
    const Weights *weights = product->weights;
    const size_t part = number % PARTS, top = number / PARTS * TASK, bottom = least(top + TASK, product->rows);
    const size_t last = least((part + 1) * weights->panels / PARTS * EDGE, weights->columns);
    __m256i sums[TILE][2];
    for (size_t column = part * weights->panels / PARTS * EDGE; column < last; column += PANEL) {
        const int8_t *values = weights->values + column * weights->steps * DEPTH;
        const Columns columns = columns_of(product, column);
        for (size_t row = top; row < bottom; row += TILE) {
            product_of(row_of(product, row), values, weights->steps, sums);
            for (size_t i = 0; i < least(TILE, bottom - row); i++)
                give_out(&columns, sums[i], product->output + (row + i) * weights->columns + column);
        }
    }
}

/* Weights */

/* 16 columns of a row; zeros where there are none. */
static __m128i sixteen_of(const Weights *weights, const int8_t *from, size_t k, size_t column) {
    int8_t padded_row[PANEL] = {0};
    if (k < weights->depth && column < weights->columns)
        memcpy(padded_row, from + k * weights->columns + column, least(PANEL, weights->columns - column));
    return _mm_loadu_si128((const __m128i *)padded_row);
}

/* Panels of 16 columns: [columns / 16][steps][16][2]. */
static void arrange(Weights *weights, const int8_t *from) {
    for (size_t step = 0; step < weights->steps; step++)
        for (size_t column = 0; column < weights->panels * EDGE; column += PANEL) {
            const __m128i first = sixteen_of(weights, from, step * DEPTH, column);
            const __m128i second = sixteen_of(weights, from, step * DEPTH + 1, column);
            __m128i *to = (__m128i *)(weights->values + (column * weights->steps + step * PANEL) * DEPTH);
            _mm_store_si128(to, _mm_unpacklo_epi8(first, second));
            _mm_store_si128(to + 1, _mm_unpackhi_epi8(first, second));
        }
    for (size_t k = 0; k < weights->depth; k++)
        for (size_t column = 0; column < weights->columns; column++)
            weights->sums[column] += from[k * weights->columns + column];
}

const Unit vector_unit = {DEPTH, operand_size, arrange, find_extremes, quantise_rows, copy_rows, tasks, multiply};
