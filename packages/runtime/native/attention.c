/* MultiHeadAttention of float32 on the matrix unit: softmax(scale * queries by keys) by values, head by head.
 *
 * One step takes 32 queries and 32 keys. Scores are stored transposed, one query per column: softmax reduces down
 * columns, and the weights can be used directly as the right operand of the next product. Weights are relative to the
 * best score so far; when a much better score comes, the partial sums are rescaled (Milakov and Gimelshein 2018,
 * arXiv 1805.02867). Products are those of slices.h.
 *
 * A query's result depends on the query, the keys and the values alone. The weight of a key whose score is 93 below
 * the query's best is exactly zero: that is how padding is excluded.
 *
 * ONNX Runtime's operator has more inputs (masks, biases, a cache), can be causal, and chooses a scale where none is
 * given. Nodes that need one of these keep that operator (glagol.runtime.kernels.adapt) and are refused here. Calls that
 * this kernel cannot do (wider heads, or other keys than queries) are passed to that operator, of which every kernel
 * holds an instance. Scores, masks included, are above -1e30. */

#include <stdatomic.h>

#include "slices.h"

#define KEY_MAX 64   /* numbers of a key or query of one head: two steps of a product */
#define VALUE_MAX 48 /* of a value: three tiles, which with two of queries take six accumulators of eight tiles */
#define MIX_STEP (9 * TILE) /* slices of the values of 32 keys: high, middle, low; three tiles each */
#define NEVER -1e30f
#define TASKS 8 /* of all heads, for as many threads */
#define SLACK 8 /* a weight is at most 2^8 */
#define LOG2_E 1.44269504088896341f /* powers are of 2 */

typedef struct {
    size_t heads;
    float scale;
    Builtin *builtin; /* ONNX Runtime's own, for calls that are not for ours */
} Attention;

typedef struct {
    const Attention *attention;
    const float *queries, *keys, *values; /* [clips][frames][heads * size] */
    float *output;
    size_t clips, frames, steps; /* steps: of 32 frames */
    size_t key_size, value_size;
    uint8_t *memory;        /* TASKS desks */
    _Atomic unsigned desks; /* a bit for each that is free */
} Call;

/* What a thread has in its memory, for one head at a time. */
typedef struct {
    bfloat16 *keys;    /* [steps][2] steps: the left side of the scores */
    bfloat16 *values;  /* [steps] mix steps: the left side of what is mixed */
    bfloat16 *queries; /* [2] steps of 32 queries */
    bfloat16 *weights; /* [2] steps of 32 keys by 32 queries: of this step and the one before */
    float *scores;     /* [2][32 keys][32 queries]: of this step and the next */
    float *mixed;      /* [48][32 queries] */
    float *best;       /* [32 queries] */
    float *sums;       /* [32 queries], of weights */
} Desk;

static size_t desk_size(size_t steps) {
    const size_t sliced = steps * (2 * STEP + MIX_STEP) + 4 * STEP, floats = (2 * EDGE + VALUE_MAX + 2) * EDGE;
    return sliced * sizeof(bfloat16) + floats * sizeof(float);
}

/* A desk in memory of that size. */
static Desk lay_out(uint8_t *memory, size_t steps) {
    Desk desk;
    desk.keys = (bfloat16 *)memory;
    desk.values = desk.keys + steps * 2 * STEP;
    desk.queries = desk.values + steps * MIX_STEP;
    desk.weights = desk.queries + 2 * STEP;
    desk.scores = (float *)(desk.weights + 2 * STEP);
    desk.mixed = desk.scores + 2 * EDGE * EDGE;
    desk.best = desk.mixed + VALUE_MAX * EDGE;
    desk.sums = desk.best + EDGE;
    return desk;
}

/* A free desk. There are as many as tasks, and the first ones are taken again and again: they are in a cache. */
static unsigned take_desk(Call *call) {
    unsigned free_ones = call->desks;
    while (!atomic_compare_exchange_weak(&call->desks, &free_ones, free_ones & (free_ones - 1))) {}
    return (unsigned)__builtin_ctz(free_ones);
}

/* The frames of one head in one clip. */
typedef struct {
    float *at;
    size_t stride, frames, size;
} Head;

static Head head_of(const Call *call, const float *all, size_t number, size_t size) {
    const size_t heads = call->attention->heads, clip = number / heads, head = number % heads;
    return (Head){(float *)all + (clip * call->frames * heads + head) * size, heads * size, call->frames, size};
}

/* Slices */

/* The first `count` of 16 lanes. */
AMX static inline __mmask16 first_of(size_t count) {
    return count < 16 ? (__mmask16)((1u << count) - 1) : (__mmask16)~0;
}

/* Turns 16 rows of 16 into columns. */
AMX static inline void turn(__m512 *rows) {
    __m512 a[16];
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        a[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        rows[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a[i]), _mm512_castps_pd(a[i + 2])));
        rows[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a[i]), _mm512_castps_pd(a[i + 2])));
        rows[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a[i + 1]), _mm512_castps_pd(a[i + 3])));
        rows[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a[i + 1]), _mm512_castps_pd(a[i + 3])));
    }
    for (int i = 0; i < 4; i++) {
        a[i] = _mm512_shuffle_f32x4(rows[i], rows[i + 4], 0x88);
        a[i + 4] = _mm512_shuffle_f32x4(rows[i], rows[i + 4], 0xdd);
        a[i + 8] = _mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0x88);
        a[i + 12] = _mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
        rows[i] = _mm512_shuffle_f32x4(a[i], a[i + 8], 0x88);
        rows[i + 8] = _mm512_shuffle_f32x4(a[i], a[i + 8], 0xdd);
    }
}

/* 16 numbers of each of 16 frames, a frame in a column; zeros where there are none. */
AMX static inline void columns_of(Head head, size_t frame, size_t number, __m512 *columns) {
    const __mmask16 there = first_of(head.size - least(number, head.size));
    for (size_t i = 0; i < 16; i++) {
        const __mmask16 mask = frame + i < head.frames ? there : 0;
        columns[i] = _mm512_maskz_loadu_ps(mask, mask ? head.at + (frame + i) * head.stride + number : head.at);
    }
    turn(columns);
}

AMX static void slice_keys(Head keys, size_t steps, bfloat16 *to) {
    for (size_t frame = 0; frame < steps * EDGE; frame++) {
        const size_t size = frame < keys.frames ? keys.size : 0;
        const float *from = keys.at + (size ? frame * keys.stride : 0);
        bfloat16 *row = to + frame / EDGE * 2 * STEP + frame % EDGE * 32;
        slice_row(from, size, row);
        slice_row(from + least(size, 32), size - least(size, 32), row + STEP);
    }
}

AMX static void slice_values(Head values, size_t steps, bfloat16 *to) {
    __m512 first[16], second[16];
    for (size_t step = 0; step < steps; step++, to += MIX_STEP)
        for (size_t tile = 0; tile < 3; tile++) {
            columns_of(values, step * EDGE, tile * 16, first);
            columns_of(values, step * EDGE + 16, tile * 16, second);
            for (size_t i = 0; i < 16; i++) slice(first[i], second[i], to + tile * TILE + i * 32, 3);
        }
}

/* 32 queries times `factor`. */
AMX static void slice_queries(Head queries, size_t frame, float factor, bfloat16 *to) {
    const __m512 by = _mm512_set1_ps(factor);
    __m512 first[16], second[16];
    for (size_t step = 0; step < 2; step++)
        for (size_t half = 0; half < 2; half++) {
            bfloat16 *tile = to + step * STEP + half * TILE;
            columns_of(queries, frame + half * 16, step * 32, first);
            columns_of(queries, frame + half * 16, step * 32 + 16, second);
            for (size_t i = 0; i < 16; i++)
                slice(_mm512_mul_ps(first[i], by), _mm512_mul_ps(second[i], by), tile + i * 32, 2);
        }
}

/* Softmax */

/* 2^x for x <= SLACK, within 1.2e-7 of it; 0 for x < -126. The polynomial's largest error is the least that one of its
 * degree can have, 2e-9. */
AMX static inline __m512 power_of_two(__m512 x) {
    const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 r = _mm512_sub_ps(x, n);
    __m512 p = _mm512_set1_ps(1.5353362062e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3398874589e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.6184373585e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.5503324707e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.4022647914e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9314720286e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* Looks for better scores of 16 queries. Returns by how much their sums and what is mixed for them become smaller: 1
 * where no score is SLACK better than what their weights are relative to. */
AMX static inline __m512 adjust(const float *scores, float *best_at, float *sums_at) {
    const __m512 before = _mm512_load_ps(best_at), one = _mm512_set1_ps(1);
    __m512 best = before, other = before;
    for (size_t k = 0; k < EDGE; k += 2) {
        best = _mm512_max_ps(best, _mm512_load_ps(scores + k * EDGE));
        other = _mm512_max_ps(other, _mm512_load_ps(scores + (k + 1) * EDGE));
    }
    best = _mm512_max_ps(best, other);
    const __mmask16 better = _mm512_cmp_ps_mask(_mm512_sub_ps(best, before), _mm512_set1_ps(SLACK), _CMP_GT_OQ);
    if (!better) return one;
    const __m512 less = _mm512_mask_mov_ps(one, better, power_of_two(_mm512_sub_ps(before, best)));
    _mm512_mask_store_ps(best_at, better, best);
    _mm512_store_ps(sums_at, _mm512_mul_ps(_mm512_load_ps(sums_at), less));
    return less;
}

/* Makes the scores of two keys weights of 16 queries; returns their sum. */
AMX static inline __m512 weigh(const float *scores, __m512 best, bfloat16 *to) {
    const __m512 a = power_of_two(_mm512_sub_ps(_mm512_load_ps(scores), best));
    const __m512 b = power_of_two(_mm512_sub_ps(_mm512_load_ps(scores + 16 * EDGE), best));
    slice(a, b, to, 2);
    return _mm512_add_ps(a, b);
}

/* Products: in parts, as the matrix unit works beside the vector units when it is asked between their work */

#define PARTS_OF_PRODUCT 13
#define INLINE AMX static inline __attribute__((always_inline))

/* Scores of 32 keys, two steps by two of queries. */
INLINE void score(int part, const bfloat16 *a, const bfloat16 *b, float *to) {
    const size_t stride = EDGE * sizeof(float);
    if (part == 0) _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
    if (part >= 6) a += STEP, b += STEP;
    if (part == 12) {
        _tile_stored(0, to, stride), _tile_stored(1, to + 16, stride);
        _tile_stored(2, to + 16 * EDGE, stride), _tile_stored(3, to + 16 * EDGE + 16, stride);
        return;
    }
    switch (part % 6) {
    case 0: LOAD_ROWS(0) LOAD_COLUMNS(2) break;
    case 1: LOAD_COLUMNS(1) break;
    case 2: LOAD_COLUMNS(0) break;
    case 3: LOAD_ROWS(2) break;
    case 4: LOAD_ROWS(1) break;
    case 5: LOAD_COLUMNS(1) break;
    }
    MULTIPLY
}

#define ROW (EDGE * sizeof(float))
#define MIXED(call)                                                                      \
    call(0, mixed, ROW), call(1, mixed + 16, ROW),                                       \
    call(2, mixed + 16 * EDGE, ROW), call(3, mixed + 16 * EDGE + 16, ROW),               \
    call(4, mixed + 32 * EDGE, ROW), call(5, mixed + 32 * EDGE + 16, ROW)
#define MIX(tile, half) _tile_loadd(6, values + (tile) * TILE, 64), _tile_dpbf16ps(2 * (tile) + (half), 6, 7);

/* Adds the values of 32 keys, each by its weight: the six products of slices, for half of the queries a part. */
INLINE void mix(int part, const bfloat16 *values, const bfloat16 *weights, float *mixed) {
    static const uint8_t left[] = {0, 1, 2, 0, 1, 0}, right[] = {2, 1, 0, 1, 0, 0};
    if (part == 0) MIXED(_tile_loadd);
    if (part == 12) {
        MIXED(_tile_stored);
        return;
    }
    values += left[part / 2] * 3 * TILE;
    _tile_loadd(7, weights + (right[part / 2] * 2 + part % 2) * TILE, 64);
    if (part % 2) {
        MIX(0, 1) MIX(1, 1) MIX(2, 1)
    } else {
        MIX(0, 0) MIX(1, 0) MIX(2, 0)
    }
}

/* Attention */

AMX static void give_out(const Desk *desk, Head to, size_t frame) {
    for (size_t half = 0; half < 2; half++, frame += 16) {
        const __m512 sums = _mm512_load_ps(desk->sums + half * 16);
        for (size_t number = 0; number < to.size; number += 16) {
            __m512 rows[16];
            for (size_t i = 0; i < 16; i++)
                rows[i] = _mm512_div_ps(_mm512_load_ps(desk->mixed + (number + i) * EDGE + half * 16), sums);
            turn(rows);
            for (size_t i = 0; i < 16 && frame + i < to.frames; i++)
                _mm512_mask_storeu_ps(to.at + (frame + i) * to.stride + number, first_of(to.size - number), rows[i]);
        }
    }
}

/* Makes what is mixed for 16 queries smaller. */
AMX static inline void lessen(float *mixed, __m512 less) {
    if (!_mm512_cmp_ps_mask(less, _mm512_set1_ps(1), _CMP_NEQ_UQ)) return;
    for (size_t i = 0; i < VALUE_MAX; i++)
        _mm512_store_ps(mixed + i * EDGE, _mm512_mul_ps(_mm512_load_ps(mixed + i * EDGE), less));
}

#define EACH_PART _Pragma("unroll") for (int part = 0; part < PARTS_OF_PRODUCT; part++)
#define EACH_PAIR _Pragma("unroll") for (int k = 0; k < 16; k++) /* the keys k and k + 16 */

/* 32 queries. While the scores of a step are made weights for one half of them, those of the next step are computed;
 * for the other half, the values of the step before are mixed. */
AMX static void attend(const Desk *desk, size_t frames, size_t steps) {
    for (size_t i = 0; i < EDGE; i++) desk->best[i] = NEVER, desk->sums[i] = 0;
    memset(desk->mixed, 0, VALUE_MAX * EDGE * sizeof(float));
    EACH_PART score(part, desk->keys, desk->queries, desk->scores);
    for (size_t step = 0; step < steps; step++) {
        float *scores = desk->scores + step % 2 * EDGE * EDGE, *next = desk->scores + (step + 1) % 2 * EDGE * EDGE;
        bfloat16 *weights = desk->weights + step % 2 * STEP, *before = desk->weights + (step + 1) % 2 * STEP;
        for (size_t i = (frames - step * EDGE) * EDGE; i < EDGE * EDGE; i++) scores[i] = NEVER;
        const __m512 less = adjust(scores, desk->best, desk->sums);
        const __m512 other_less = adjust(scores + 16, desk->best + 16, desk->sums + 16);

        __m512 best = _mm512_load_ps(desk->best), sum = _mm512_setzero_ps(); /* of this step: shorter sums err less */
        EACH_PAIR {
            sum = _mm512_add_ps(sum, weigh(scores + k * EDGE, best, weights + k * 32));
            if (k < PARTS_OF_PRODUCT && step + 1 < steps)
                score(k, desk->keys + (step + 1) * 2 * STEP, desk->queries, next);
        }
        _mm512_store_ps(desk->sums, _mm512_add_ps(_mm512_load_ps(desk->sums), sum));

        best = _mm512_load_ps(desk->best + 16), sum = _mm512_setzero_ps();
        EACH_PAIR {
            sum = _mm512_add_ps(sum, weigh(scores + k * EDGE + 16, best, weights + TILE + k * 32));
            if (k < PARTS_OF_PRODUCT && step)
                mix(k, desk->values + (step - 1) * MIX_STEP, before, desk->mixed);
        }
        _mm512_store_ps(desk->sums + 16, _mm512_add_ps(_mm512_load_ps(desk->sums + 16), sum));
        lessen(desk->mixed, less), lessen(desk->mixed + 16, other_less);
    }
    const size_t last = steps - 1;
    EACH_PART mix(part, desk->values + last * MIX_STEP, desk->weights + last % 2 * STEP, desk->mixed);
}

/* One head of one clip. */
AMX static void attend_all(const Call *call, const Desk *desk, size_t number) {
    const Head queries = head_of(call, call->queries, number, call->key_size);
    const Head to = head_of(call, call->output, number, call->value_size);
    slice_keys(head_of(call, call->keys, number, call->key_size), call->steps, desk->keys);
    slice_values(head_of(call, call->values, number, call->value_size), call->steps, desk->values);
    for (size_t frame = 0; frame < call->frames; frame += EDGE) {
        slice_queries(queries, frame, call->attention->scale * LOG2_E, desk->queries);
        attend(desk, call->frames, call->steps);
        give_out(desk, to, frame);
    }
}

AMX static void work(void *given, size_t task) {
    Call *call = given;
    const size_t heads = call->clips * call->attention->heads;
    const unsigned taken = take_desk(call), modes = _mm_getcsr();
    const Desk desk = lay_out(call->memory + taken * desk_size(call->steps), call->steps);
    _mm_setcsr(modes | _MM_FLUSH_ZERO_ON); /* as the unit does; and weights below 2^-126 would take a slow path */
    configure();
    for (size_t number = task * heads / TASKS; number < (task + 1) * heads / TASKS; number++)
        attend_all(call, &desk, number);
    _tile_release();
    _mm_setcsr(modes);
    atomic_fetch_or(&call->desks, 1u << taken);
}

/* The operator */

static Status *create(const Op *op, const void *const *api, const Info *info, void **kernel) {
    int64_t heads;
    float scale;
    (void)op, (void)api;
    TRY(integer_attribute(info, "num_heads", &heads));
    TRY(float_attribute(info, "scale", &scale));
    if (heads < 1 || !(scale > 0)) return refuse("glagol: attention needs heads and a positive scale");
    if (optional_integer(info, "unidirectional")) return refuse("glagol: attention looks at all keys");
    Attention *attention = malloc(sizeof *attention);
    if (!attention) return refuse("glagol: out of memory");
    *attention = (Attention){(size_t)heads, scale, NULL};
    Status *failed = builtin_attention(info, heads, scale, &attention->builtin);
    if (failed) return free(attention), failed;
    *kernel = attention;
    return NULL;
}

static void destroy(void *kernel) {
    release_builtin(((Attention *)kernel)->builtin);
    free(kernel);
}

/* Whether a call is for this kernel: as many keys and values as queries, heads that fit in the tiles. */
static int fits(const Tensor *given, size_t heads) {
    for (size_t i = 0; i < 3; i++) {
        const Tensor *it = &given[i];
        if (it->rank != 3 || it->rows != given[0].rows || it->axes[0] != given[0].axes[0] || !it->last) return 0;
        if (it->last % heads || it->last / heads > (i < 2 ? KEY_MAX : VALUE_MAX)) return 0;
    }
    return given[1].last == given[0].last;
}

/* ONNX Runtime's operator also takes keys and values [clips][heads][frames][size], and refuses what it cannot do. */
static Status *leave(const Attention *attention, Context *context, const Tensor *given) {
    const Tensor *queries = &given[0], *values = &given[2];
    if (queries->rank != 3) return refuse("glagol: attention's queries must have 3 axes");
    const int64_t width = values->rank == 4 ? values->axes[1] * values->axes[3] : (int64_t)values->last;
    return invoke(context, attention->builtin, (int64_t[3]){queries->axes[0], queries->axes[1], width}, 3);
}

static Status *compute(void *kernel, Context *context) {
    Call call = {.attention = kernel, .desks = (1u << TASKS) - 1};
    const size_t heads = call.attention->heads;
    Tensor given[3];
    Loan loan;
    for (size_t i = 0; i < 3; i++) TRY(input(context, i, &given[i]));
    if (!fits(given, heads)) return leave(kernel, context, given);
    call.queries = given[0].data, call.keys = given[1].data, call.values = given[2].data;
    call.clips = (size_t)given[0].axes[0], call.frames = (size_t)given[0].axes[1];
    call.key_size = given[0].last / heads, call.value_size = given[2].last / heads;
    call.steps = whole(call.frames, EDGE) / EDGE;
    TRY(output(context, &given[0], given[2].last, &call.output));
    if (!given[0].rows) return NULL;
    TRY(borrow(context, TASKS * desk_size(call.steps), &loan));
    call.memory = loan.data;
    Status *status = parallel(context, work, TASKS, &call);
    give_back(loan);
    return status;
}

static const char *name(const Op *op) { return (void)op, "MultiHeadAttention"; }
static size_t three_inputs(const Op *op) { return (void)op, 3; }

const Op attention = {
    .version = API_VERSION, .name = name, .provider = on_cpu,
    .inputs = three_inputs, .input_type = one_type, .input_need = required, .input_memory = default_memory,
    .outputs = one_output, .output_type = one_type, .output_need = required,
    .fewest_inputs = number_one, .alike_inputs = number_one, .fewest_outputs = number_one, .alike_outputs = number_one,
    .create = create, .compute = compute, .destroy = destroy, .first_version = number_one, .last_version = any_version,
};
