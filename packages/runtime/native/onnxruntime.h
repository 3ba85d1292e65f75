/* What the operators need of ONNX Runtime's C interface, by position.
 *
 * The interface is a table of functions that only grows at its end, and a struct that an operator fills
 * in: the positions below hold for API 17 (ONNX Runtime 1.17) and everything after it. They were taken
 * from onnxruntime_c_api.h of 1.21. */

#include <stddef.h>
#include <stdint.h>

typedef struct Status Status;
typedef struct Value Value;
typedef struct Shape Shape;
typedef struct Memory Memory;
typedef struct Context Context;
typedef struct Info Info;
typedef struct Domain Domain;
typedef struct SessionOptions SessionOptions;
typedef struct Attribute Attribute;
typedef struct Builtin Builtin; /* one of ONNX Runtime's own operators */

enum { API_VERSION = 17, FLOAT = 1, UINT8 = 2, INT8 = 3, REQUIRED = 0, OPTIONAL = 1, ARENA = 1, DEFAULT_MEMORY = 0, FAIL = 1, INTEGER = 1, REAL = 3 };

typedef struct Allocator {
    uint32_t version;
    void *(*alloc)(struct Allocator *, size_t);
    void (*free)(struct Allocator *, void *);
} Allocator;

typedef struct {
    const void *(*api)(uint32_t version);
    const char *(*version)(void);
} Base;

/* An entry of the table: API(KernelContext_GetInput)(arguments...) */
#define API(name) ((name##_t)api[name##_at])
#define ENTRY(name, at, result, ...) \
    enum { name##_at = at };         \
    typedef result (*name##_t)(__VA_ARGS__);

ENTRY(CreateStatus, 0, Status *, int code, const char *message)
ENTRY(CreateCustomOpDomain, 26, Status *, const char *name, Domain **)
ENTRY(CustomOpDomain_Add, 27, Status *, Domain *, const void *op)
ENTRY(AddCustomOpDomain, 28, Status *, SessionOptions *, Domain *)
ENTRY(GetTensorMutableData, 51, Status *, const Value *, void **)
ENTRY(GetDimensionsCount, 61, Status *, const Shape *, size_t *)
ENTRY(GetDimensions, 62, Status *, const Shape *, int64_t *, size_t)
ENTRY(GetTensorTypeAndShape, 65, Status *, const Value *, Shape **)
ENTRY(CreateCpuMemoryInfo, 69, Status *, int allocator, int memory, Memory **)
ENTRY(KernelInfoGetAttribute_float, 85, Status *, const Info *, const char *, float *)
ENTRY(KernelInfoGetAttribute_int64, 86, Status *, const Info *, const char *, int64_t *)
ENTRY(KernelContext_GetInput, 90, Status *, const Context *, size_t, const Value **)
ENTRY(KernelContext_GetOutput, 91, Status *, Context *, size_t, const int64_t *, size_t, Value **)
ENTRY(ReleaseStatus, 93, void, Status *)
ENTRY(ReleaseShape, 99, void, Shape *)
ENTRY(ReleaseAllocator, 132, void, Allocator *)
ENTRY(CreateOpAttr, 211, Status *, const char *name, const void *data, int count, int type, Attribute **)
ENTRY(ReleaseOpAttr, 212, void, Attribute *)
ENTRY(CreateOp, 213, Status *, const Info *, const char *name, const char *domain, int version, const char **constraints,
      const int *types, int constraint_count, const Attribute *const *, int attribute_count, int inputs, int outputs, Builtin **)
ENTRY(InvokeOp, 214, Status *, const Context *, const Builtin *, const Value *const *, int inputs, Value *const *, int outputs)
ENTRY(ReleaseOp, 215, void, Builtin *)
ENTRY(KernelInfoGetConstantInput, 249, Status *, const Info *, size_t, int *, const Value **)
ENTRY(KernelContext_GetAllocator, 253, Status *, const Context *, const Memory *, Allocator **)
ENTRY(KernelContext_ParallelFor, 274, Status *, const Context *, void (*)(void *, size_t), size_t, size_t, void *)

/* One operator; `rest` are members of later versions, which are not read for API 17. */
typedef struct Op {
    uint32_t version;
    void *create_kernel;
    const char *(*name)(const struct Op *);
    const char *(*provider)(const struct Op *);
    int (*input_type)(const struct Op *, size_t);
    size_t (*inputs)(const struct Op *);
    int (*output_type)(const struct Op *, size_t);
    size_t (*outputs)(const struct Op *);
    void *compute_kernel;
    void (*destroy)(void *kernel);
    int (*input_need)(const struct Op *, size_t);
    int (*output_need)(const struct Op *, size_t);
    int (*input_memory)(const struct Op *, size_t);
    int (*fewest_inputs)(const struct Op *);
    int (*alike_inputs)(const struct Op *);
    int (*fewest_outputs)(const struct Op *);
    int (*alike_outputs)(const struct Op *);
    Status *(*create)(const struct Op *, const void *const *api, const Info *, void **kernel);
    Status *(*compute)(void *kernel, Context *);
    void *infer_shape;
    int (*first_version)(const struct Op *);
    int (*last_version)(const struct Op *);
    void *rest[4];
} Op;
