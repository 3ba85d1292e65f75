/* Products of float32 on a unit that multiplies bfloat16 and sums in float32.
 *
 * A float32 has 24 bits of mantissa: it is the exact sum of three bfloat16 of 8 bits, cut off and not rounded. Of
 * the nine products of such slices the six that matter are summed; what is left out is 2^-24 of a product on
 * average, and 2^-21 at most. So the result is as near to the exact one as a float32 kernel's where signs are
 * mixed, and a few units further where they are not. (Henry, Tang and Heinecke 2019, arXiv 1904.06376.) Slices
 * below 2^-126 count as zero: numbers below 2^-110 lose digits. Both sides of a product pair the values k and
 * k + 16 of every 32. */

#include "amx.h"

#define TILE (TILE_BYTES / 2)
#define STEP (6 * TILE) /* slices of 32 x 32 values: high, middle, low; two tiles each */

typedef uint16_t bfloat16;

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

/* 16 pairs: a row of a tile, and of those of the lower slices, which lie so many tiles on. */
AMX static inline void slice(__m512 a, __m512 b, bfloat16 *to, size_t tiles) {
    _mm512_store_si512(to, upper(a, b));
    a = rest(a), b = rest(b);
    _mm512_store_si512(to + tiles * TILE, upper(a, b));
    a = rest(a), b = rest(b);
    _mm512_store_si512(to + 2 * tiles * TILE, upper(a, b));
}

/* A row of a left side: 32 values, of which `left` are there. */
AMX static inline void slice_row(const float *from, size_t left, bfloat16 *to) {
    const __mmask32 there = left >= 32 ? ~0u : (1u << left) - 1;
    slice(_mm512_maskz_loadu_ps((__mmask16)there, from),
          _mm512_maskz_loadu_ps((__mmask16)(there >> 16), from + 16), to, 2);
}

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

AMX static inline void block(const bfloat16 *a, const bfloat16 *b, size_t depth, Place place, Ahead *ahead) {
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
