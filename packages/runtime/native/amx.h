/* What the operators share: the matrix unit's shape, tasks, and ONNX Runtime's tensors. */

#ifndef AMX_H
#define AMX_H

#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "onnxruntime.h"

#ifndef EMULATED
#define EMULATED 0 /* 1: the matrix unit in C, for tests */
#endif

#if EMULATED
#define AMX __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#include "emulated.h"
#else
#define AMX __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-bf16,amx-int8")))
#endif

#define EDGE 32         /* rows and columns of a block of results: four accumulators of 16 x 16 */
#define TILE_BYTES 1024 /* 16 rows of 64 bytes */
#define ROWS 256        /* of a task */
#define PARTS 4         /* of the columns, for as many threads */

static inline size_t least(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t whole(size_t n, size_t of) { return (n + of - 1) / of * of; }

/* What one task of a product computes: rows from top to bottom, panels of 32 columns from first to last. */
typedef struct {
    size_t top, bottom, first, last;
} Task;

static inline size_t tasks_of(size_t rows) { return (rows + ROWS - 1) / ROWS * PARTS; }

static inline Task task_of(size_t number, size_t rows, size_t panels) {
    const size_t part = number % PARTS, top = number / PARTS * ROWS;
    return (Task){top, least(top + ROWS, rows), part * panels / PARTS, (part + 1) * panels / PARTS};
}

AMX static inline void configure(void) {
    static const struct {
        uint8_t palette, start, zero[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } eight_full_tiles = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&eight_full_tiles);
}

/* Asks for the next panel, some lines a step, while this one is multiplied: it comes from main memory. */
typedef struct {
    const char *next;
    size_t lines;
} Ahead;

AMX static inline void look(Ahead *ahead) {
    for (size_t i = 0; i < ahead->lines; i++, ahead->next += 64) _mm_prefetch(ahead->next, _MM_HINT_T1);
}

#define TRY(call)                  \
    do {                           \
        Status *failed = (call);   \
        if (failed) return failed; \
    } while (0)

enum { AXES_MAX = 8 };

typedef struct {
    size_t rank, rows, last; /* rows: the product of all axes but the last */
    int64_t axes[AXES_MAX];
    void *data; /* NULL for an input that is left out */
} Tensor;

Status *refuse(const char *why);

/* An input that does not change from call to call. */
Status *constant_input(const Info *info, size_t index, Tensor *found);
Status *float_attribute(const Info *info, const char *name, float *found);
Status *integer_attribute(const Info *info, const char *name, int64_t *found);
int64_t optional_integer(const Info *info, const char *name); /* 0 where there is none */
Status *input(Context *context, size_t index, Tensor *found);

/* The output: as the input, but for the last axis. */
Status *output(Context *context, const Tensor *input, size_t columns, void *data);

/* ONNX Runtime's own attention of three inputs, for what ours cannot do; `invoke` gives it this call's inputs. */
Status *builtin_attention(const Info *info, int64_t heads, float scale, Builtin **made);
Status *invoke(Context *context, const Builtin *builtin, const int64_t *axes, size_t rank);
void release_builtin(Builtin *builtin); /* or NULL */
Status *parallel(Context *context, void (*work)(void *, size_t), size_t tasks, void *given);

/* Memory for one call, from a cache line on. */
typedef struct {
    Allocator *allocator;
    void *all, *data;
} Loan;

Status *borrow(Context *context, size_t bytes, Loan *loan);
void give_back(Loan loan);

extern const Op matmul, attention, dynamic_quantize_matmul, matmul_integer_to_float;
extern const Op vector_dynamic_quantize_matmul, vector_matmul_integer_to_float;
const char *on_cpu(const Op *op);
int number_one(const Op *op);
int any_version(const Op *op);
int one_type(const Op *op, size_t index);
size_t one_output(const Op *op);
int required(const Op *op, size_t index);
int default_memory(const Op *op, size_t index);

#endif
