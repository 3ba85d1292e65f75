/* The library's entry points, and what the operators need of ONNX Runtime. */

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "amx.h"

#define PUBLIC __attribute__((visibility("default")))

static const void *const *api;
static Memory *arena;
static Domain *own; /* as long as the process */

Status *refuse(const char *why) { return API(CreateStatus)(FAIL, why); }

static Status *look_at(const Value *value, Tensor *found) {
    Shape *shape;
    TRY(API(GetTensorTypeAndShape)(value, &shape));
    Status *status = API(GetDimensionsCount)(shape, &found->rank);
    if (!status && found->rank > AXES_MAX) status = refuse("glagol: a tensor has more than 8 axes");
    if (!status) status = API(GetDimensions)(shape, found->axes, found->rank);
    API(ReleaseShape)(shape);
    if (status) return status;
    found->rows = 1;
    for (size_t axis = 0; axis + 1 < found->rank; axis++) found->rows *= (size_t)found->axes[axis];
    found->last = found->rank ? (size_t)found->axes[found->rank - 1] : 1;
    return API(GetTensorMutableData)(value, &found->data);
}

Status *constant_input(const Info *info, size_t index, Tensor *found) {
    const Value *value = NULL;
    int constant = 0;
    TRY(API(KernelInfoGetConstantInput)(info, index, &constant, &value));
    *found = (Tensor){0};
    return constant && value ? look_at(value, found) : NULL;
}

Status *float_attribute(const Info *info, const char *name, float *found) {
    return API(KernelInfoGetAttribute_float)(info, name, found);
}

Status *integer_attribute(const Info *info, const char *name, int64_t *found) {
    return API(KernelInfoGetAttribute_int64)(info, name, found);
}

int64_t optional_integer(const Info *info, const char *name) {
    int64_t found = 0;
    Status *absent = integer_attribute(info, name, &found);
    if (!absent) return found;
    API(ReleaseStatus)(absent);
    return 0;
}

Status *input(Context *context, size_t index, Tensor *found) {
    const Value *value = NULL;
    TRY(API(KernelContext_GetInput)(context, index, &value));
    *found = (Tensor){0};
    return value ? look_at(value, found) : NULL;
}

Status *output(Context *context, const Tensor *input, size_t columns, void *data) {
    int64_t axes[AXES_MAX];
    Value *value;
    memcpy(axes, input->axes, sizeof axes);
    axes[input->rank - 1] = (int64_t)columns;
    TRY(API(KernelContext_GetOutput)(context, 0, axes, input->rank, &value));
    return API(GetTensorMutableData)(value, data);
}

Status *builtin_attention(const Info *info, int64_t heads, float scale, Builtin **made) {
    const char *constraint = "T";
    const int type = FLOAT;
    Attribute *given[2] = {NULL, NULL};
    Status *status = API(CreateOpAttr)("num_heads", &heads, 1, INTEGER, &given[0]);
    if (!status) status = API(CreateOpAttr)("scale", &scale, 1, REAL, &given[1]);
    if (!status)
        status = API(CreateOp)(info, "MultiHeadAttention", "com.microsoft", 1, &constraint, &type, 1,
                               (const Attribute *const *)given, 2, 3, 1, made);
    for (int i = 0; i < 2; i++)
        if (given[i]) API(ReleaseOpAttr)(given[i]);
    return status;
}

Status *invoke(Context *context, const Builtin *builtin, const int64_t *axes, size_t rank) {
    const Value *inputs[3] = {NULL, NULL, NULL};
    Value *made;
    for (size_t i = 0; i < 3; i++) TRY(API(KernelContext_GetInput)(context, i, &inputs[i]));
    TRY(API(KernelContext_GetOutput)(context, 0, axes, rank, &made));
    return API(InvokeOp)(context, builtin, inputs, 3, &made, 1);
}

void release_builtin(Builtin *builtin) {
    if (builtin) API(ReleaseOp)(builtin);
}

Status *parallel(Context *context, void (*work)(void *, size_t), size_t tasks, void *given) {
    return API(KernelContext_ParallelFor)(context, work, tasks, 0, given);
}

Status *borrow(Context *context, size_t bytes, Loan *loan) {
    TRY(API(KernelContext_GetAllocator)(context, arena, &loan->allocator));
    if (EMULATED) /* one block a loan, none of an arena: a sanitizer sees where it ends */
        loan->all = aligned_alloc(64, whole(bytes, 64));
    else
        loan->all = loan->allocator->alloc(loan->allocator, bytes + 64);
    loan->data = (void *)(((uintptr_t)loan->all + 63) & ~(uintptr_t)63);
    if (loan->all) return NULL;
    API(ReleaseAllocator)(loan->allocator);
    return refuse("glagol: out of memory");
}

void give_back(Loan loan) {
    if (EMULATED)
        free(loan.all);
    else
        loan.allocator->free(loan.allocator, loan.all);
    API(ReleaseAllocator)(loan.allocator);
}

const char *on_cpu(const Op *op) { return (void)op, "CPUExecutionProvider"; }
int number_one(const Op *op) { return (void)op, 1; }
int any_version(const Op *op) { return (void)op, INT32_MAX; }
int one_type(const Op *op, size_t index) { return (void)op, (void)index, FLOAT; }
size_t one_output(const Op *op) { return (void)op, 1; }
int required(const Op *op, size_t index) { return (void)op, (void)index, REQUIRED; }
int default_memory(const Op *op, size_t index) { return (void)op, (void)index, DEFAULT_MEMORY; }

/* sha256 of the source, by build/native: a test sees when the committed library is another's. */
PUBLIC const char glagol_amx_source[] = SOURCE;

/* Whether this processor has what is needed and the kernel lets this process use it. */
PUBLIC int glagol_amx_ready(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18, OSXSAVE = 1 << 27, STATES = 0xe6 };
    const unsigned avx512_f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    const unsigned amx_bf16_tile_int8 = 1u << 22 | 1u << 24 | 1u << 25;
    unsigned a, b, c, d, saved;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE)) return 0;
    __asm__("xgetbv" : "=a"(saved), "=d"(d) : "c"(0));
    if ((saved & STATES) != STATES || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if ((b & avx512_f_dq_bw_vl) != avx512_f_dq_bw_vl) return 0;
    if (EMULATED) return 1;
    return (d & amx_bf16_tile_int8) == amx_bf16_tile_int8 && !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA);
}

/* The class of this processor, for which glagol.runtime.kernels.choice has a table: 3 with the matrix unit, 2 with
 * AVX-512 and without it, 1 with AVX2 alone, 0 with less. */
PUBLIC int glagol_class(void) {
    enum { OSXSAVE = 1 << 27, YMM = 0x6, ZMM = 0xe6, AVX2 = 1 << 5, AVX512_F = 1 << 16 };
    unsigned a, b, c, d, saved;
    if (glagol_amx_ready()) return 3;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE)) return 0;
    __asm__("xgetbv" : "=a"(saved), "=d"(d) : "c"(0));
    if ((saved & YMM) != YMM || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & AVX2)) return 0;
    return (saved & ZMM) == ZMM && (b & AVX512_F) ? 2 : 1;
}

/* Whether a sum of two products of an unsigned and a signed byte is exact in ONNX Runtime's kernels here. Without VNNI
 * they add pairs in 16 bits, which saturate. */
PUBLIC int glagol_int8_exact(void) {
    enum { OSXSAVE = 1 << 27, YMM = 0x6, ZMM = 0xe6, AVX512_VNNI = 1 << 11, AVX_VNNI = 1 << 4 };
    unsigned a, b, c, d, saved;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE)) return 0;
    __asm__("xgetbv" : "=a"(saved), "=d"(d) : "c"(0));
    if ((saved & ZMM) == ZMM && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & AVX512_VNNI)) return 1;
    return (saved & YMM) == YMM && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & AVX_VNNI);
}

/* A domain of our own: a graph that does not name it has ONNX Runtime's operators. */
static Status *make_domains(void) {
    TRY(API(CreateCpuMemoryInfo)(ARENA, DEFAULT_MEMORY, &arena));
    TRY(API(CreateCustomOpDomain)("ai.glagol", &own));
    if (glagol_class()) {
        TRY(API(CustomOpDomain_Add)(own, &vector_dynamic_quantize_matmul));
        TRY(API(CustomOpDomain_Add)(own, &vector_matmul_integer_to_float));
    }
    if (!glagol_amx_ready()) return NULL;
    TRY(API(CustomOpDomain_Add)(own, &matmul));
    TRY(API(CustomOpDomain_Add)(own, &attention));
    TRY(API(CustomOpDomain_Add)(own, &dynamic_quantize_matmul));
    return API(CustomOpDomain_Add)(own, &matmul_integer_to_float);
}

/* Called for each session, by one thread at a time: Python's lock is held. */
PUBLIC Status *RegisterCustomOps(SessionOptions *options, const Base *base) {
    api = base->api(API_VERSION);
    if (!api) {
        api = base->api(1);
        return refuse("glagol: this ONNX Runtime is older than 1.17");
    }
    if (!glagol_class()) return refuse("glagol: this process can use no operator of ours");
    if (!arena) TRY(make_domains());
    return API(AddCustomOpDomain)(options, own);
}
