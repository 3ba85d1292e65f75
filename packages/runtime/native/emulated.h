/* The matrix unit in C, for tests on processors without it: included by amx.h where EMULATED is 1.
 *
 * A thread has eight tiles of 16 rows of 64 bytes. Products are those of the manual: of bfloat16 with fused steps,
 * values below 2^-126 as zero, even and odd numbers of a row summed apart; of bytes exact. The vector units are not
 * emulated: the processor must have AVX-512. What the unit would refuse ends the process: a tile that is used before
 * _tile_loadconfig or after _tile_release, or a configuration other than eight full tiles. */

typedef struct {
    uint8_t bytes[16][64] __attribute__((aligned(64)));
} EmulatedTile;

static _Thread_local struct {
    int configured;
    EmulatedTile tiles[8];
} emulated;

static inline EmulatedTile *emulated_tile(int number) {
    if (!emulated.configured || number < 0 || number > 7) abort();
    return &emulated.tiles[number];
}

static inline void emulated_loadconfig(const void *given) {
    const uint8_t *bytes = given;
    uint16_t row_bytes[8];
    memcpy(row_bytes, bytes + 16, sizeof row_bytes);
    if (bytes[0] != 1 || bytes[1]) abort();
    for (int i = 0; i < 8; i++)
        if (row_bytes[i] != 64 || bytes[48 + i] != 16) abort();
    memset(&emulated, 0, sizeof emulated);
    emulated.configured = 1;
}

static inline void emulated_release(void) { emulated.configured = 0; }
static inline void emulated_zero(int tile) { memset(emulated_tile(tile), 0, sizeof(EmulatedTile)); }

static inline void emulated_loadd(int tile, const void *from, size_t stride) {
    EmulatedTile *to = emulated_tile(tile);
    for (size_t row = 0; row < 16; row++) memcpy(to->bytes[row], (const char *)from + row * stride, 64);
}

static inline void emulated_stored(int tile, void *to, size_t stride) {
    const EmulatedTile *from = emulated_tile(tile);
    for (size_t row = 0; row < 16; row++) memcpy((char *)to + row * stride, from->bytes[row], 64);
}

AMX static inline void emulated_dpbf16ps(int to, int left, int right) {
    EmulatedTile *sums = emulated_tile(to);
    const EmulatedTile *a = emulated_tile(left), *b = emulated_tile(right);
    const __m512i odd = _mm512_set1_epi32((int)0xffff0000);
    const unsigned modes = _mm_getcsr();
    _mm_setcsr(0x9fc0); /* no exceptions, to nearest, small numbers are zero on both sides */
    for (size_t row = 0; row < 16; row++) {
        __m512 evens = _mm512_setzero_ps(), odds = _mm512_setzero_ps();
        for (size_t k = 0; k < 16; k++) {
            int32_t pair;
            memcpy(&pair, a->bytes[row] + 4 * k, sizeof pair);
            const __m512i x = _mm512_set1_epi32(pair), y = _mm512_load_si512(b->bytes[k]);
            evens = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)),
                                    _mm512_castsi512_ps(_mm512_slli_epi32(y, 16)), evens);
            odds = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(x, odd)),
                                   _mm512_castsi512_ps(_mm512_and_si512(y, odd)), odds);
        }
        const __m512 before = _mm512_load_ps(sums->bytes[row]);
        _mm512_store_ps(sums->bytes[row], _mm512_add_ps(before, _mm512_add_ps(evens, odds)));
    }
    _mm_setcsr(modes);
}

AMX static inline void emulated_dpbusd(int to, int left, int right) {
    EmulatedTile *sums = emulated_tile(to);
    const EmulatedTile *a = emulated_tile(left), *b = emulated_tile(right);
    for (size_t row = 0; row < 16; row++) {
        __m512i sum = _mm512_load_si512(sums->bytes[row]);
        for (size_t k = 0; k < 16; k++) {
            const uint8_t *of = a->bytes[row] + 4 * k;
            const __m512i y = _mm512_load_si512(b->bytes[k]);
            for (unsigned i = 0; i < 4; i++) { /* byte i of 16 groups, with its sign */
                const __m512i byte = _mm512_srai_epi32(_mm512_sll_epi32(y, _mm_cvtsi32_si128(24 - 8 * (int)i)), 24);
                sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(_mm512_set1_epi32(of[i]), byte));
            }
        }
        _mm512_store_si512(sums->bytes[row], sum);
    }
}

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stream_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#undef _tile_dpbusd
#define _tile_loadconfig emulated_loadconfig
#define _tile_release emulated_release
#define _tile_zero emulated_zero
#define _tile_loadd emulated_loadd
#define _tile_stream_loadd emulated_loadd
#define _tile_stored emulated_stored
#define _tile_dpbf16ps emulated_dpbf16ps
#define _tile_dpbusd emulated_dpbusd
